"""`python -m pyslsac` is the command `pyslsac`."""

import sys

from pyslsac.cli import main

if __name__ == "__main__":
    sys.exit(main())
