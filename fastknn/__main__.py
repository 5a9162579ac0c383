"""``python -m fastknn``."""

import sys

if __name__ == "__main__":
    try:
        from fastknn.cli import main
    except KeyboardInterrupt:  # NumPy takes a while to load
        sys.exit(130)
    sys.exit(main())
