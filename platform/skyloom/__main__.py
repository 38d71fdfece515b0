"""`python -m skyloom` is `skyloom`."""

import sys

from skyloom.cli import main

if __name__ == "__main__":
    sys.exit(main())
