"""The command line's entry point, also reached by `python -m hsisr`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from hsisr.cli import main as run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
