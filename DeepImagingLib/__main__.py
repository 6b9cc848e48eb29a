"""`python -m DeepImagingLib`."""

import sys

from DeepImagingLib.cli import main
from DeepImagingLib.hosts.lean import keep_monai_lean

if not any(word.startswith("--trust") for word in sys.argv):  # trusted code may use all of MONAI
    keep_monai_lean()
sys.exit(main())
