"""What the program returns to its caller."""

DONE = 0
FOUND = 1
"""A check found something: an alert fires, the store does not verify, the doctor has a finding."""
WRONG_USAGE = 2
UNREACHABLE = 3
QUARANTINED = 4
"""Some records were quarantined and --strict was given."""
INTERNAL = 70
"""A bug of ours (EX_SOFTWARE of sysexits.h)."""
INTERRUPTED = 130
"""Stopped by Ctrl-C: 128 and the number of SIGINT, as shells count."""
