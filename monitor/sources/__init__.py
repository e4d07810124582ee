"""The way in: one file per place that data comes from, found by its presence."""
