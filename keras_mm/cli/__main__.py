"""`python -m keras_mm.cli` runs the same command line as `keras-mm`."""

import sys

from keras_mm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
