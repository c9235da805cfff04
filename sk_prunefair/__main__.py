"""``python -m sk_prunefair``."""

import sys

from sk_prunefair.cli import main

if __name__ == "__main__":
    sys.exit(main())
