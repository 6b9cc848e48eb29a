"""Processes that only run bundles import MONAI without its training loops, and nothing else is missing there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEAN = """
import gc, sys
from DeepImagingLib.hosts.lean import keep_monai_lean
keep_monai_lean()
import monai.transforms
assert not {"ignite", "matplotlib", "scipy.signal"} & set(sys.modules), "MONAI imported them"
assert gc.isenabled() and type(monai.__loader__).__name__ == "SourceFileLoader"
import ignite.engine, matplotlib.pyplot, scipy.signal
from DeepImagingLib import load_bundle
print(type(load_bundle("torso_ct_segmentation").build("cpu").network).__name__)
"""


def test_what_monai_left_out_can_still_be_imported_and_a_bundle_be_built() -> None:
    done = subprocess.run([sys.executable, "-c", LEAN], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1].endswith("Net")
