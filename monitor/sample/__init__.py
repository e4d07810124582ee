"""A week of sample traffic and its bill, the same bytes every run: what `demo` collects."""
