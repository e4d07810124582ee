"""What the sources that ask Azure share: which cloud, as whom, at what pace, and what a refusal means."""
