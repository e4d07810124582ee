"""Settings: a TOML file plus the environment, turned into typed records; unknown keys are errors that name the nearest known one.

PLACEHOLDER_FOR_HELPER
"""
