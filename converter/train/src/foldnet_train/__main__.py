"""`python -m foldnet_train`."""

import sys

from foldnet_train.cli import main

if __name__ == "__main__":
    sys.exit(main())
