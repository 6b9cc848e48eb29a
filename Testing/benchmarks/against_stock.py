"""Seconds and peak memory of one run, as a ratio to MONAI's own workflow for the same bundle and file.

    python Testing/benchmarks/against_stock.py [--model NAME|PATH] [--input FILE] [--repeats N]

Both run as processes of their own, in turns, from start to the written label map. Without --input the scan is a made
torso at 2 mm.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = """
import sys
from DeepImagingLib.cli import main
main(["run", sys.argv[2], "--model", sys.argv[1], "--output", sys.argv[3] + "/labels.nii.gz", "--precision", "full"])
"""
STOCK = """
import sys
from pathlib import Path
from Testing.inference.stock import run_stock
run_stock(Path(sys.argv[1]), [Path(sys.argv[2])], Path(sys.argv[3]))
"""
MEASURE = """
from DeepImagingLib.inference.memory import peak_memory
print("peak", peak_memory())
"""


def timed(code: str, words: list[str]) -> tuple[float, int]:
    """Return seconds and peak resident bytes of a Python process that runs `code`."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + MEASURE, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - started, int(done.stdout.split("peak ")[-1])


def made_scan(folder: Path) -> Path:
    """Write a made torso at 2 mm as NIfTI."""
    import nibabel
    import numpy as np

    from DeepImagingLib.phantoms import torso_ct

    images, _ = torso_ct.sample(1_000_000, (2.0, 2.0, 2.0))
    image = images["ct"]
    nibabel.save(nibabel.Nifti1Image(image.numpy()[0].astype(np.int16), np.asarray(image.affine)), folder / "ct.nii.gz")
    return folder / "ct.nii.gz"


def main() -> None:
    """Measure both in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(ROOT / "Resources" / "Bundles" / "torso_ct_segmentation"))
    parser.add_argument("--input", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parsed = parser.parse_args()
    measured: dict[str, list[tuple[float, int]]] = {"stock": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        scan = parsed.input.absolute() if parsed.input else made_scan(Path(folder))
        for repeat in range(parsed.repeats):
            for name, code in (("stock", STOCK), ("ours", OURS)):
                output = Path(folder) / f"{name}{repeat}"
                output.mkdir()
                measured[name].append(timed(code, [parsed.model, str(scan), str(output)]))
    seconds, memory = ({n: statistics.median(m[i] for m in runs) for n, runs in measured.items()} for i in (0, 1))
    told = {
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "peak GB": {name: round(value / 1e9, 2) for name, value in memory.items()},
        "seconds, ours / stock": round(seconds["ours"] / seconds["stock"], 2),
        "memory, ours / stock": round(memory["ours"] / memory["stock"], 2),
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
