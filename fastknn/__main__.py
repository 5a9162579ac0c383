"""``python -m fastknn``."""

import sys

from fastknn.cli import main

if __name__ == "__main__":
    sys.exit(main())
