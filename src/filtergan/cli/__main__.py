"""`python -m filtergan.cli` is the command `filtergan`."""

import sys

from filtergan.cli import main

if __name__ == "__main__":
    sys.exit(main())
