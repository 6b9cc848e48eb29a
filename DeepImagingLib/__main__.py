"""`python -m DeepImagingLib`."""

import sys

from DeepImagingLib.cli import main

sys.exit(main())
