"""`python -m monitor` is the same as `maas-monitor`."""

from monitor.cli import main

if __name__ == "__main__":
    main()
