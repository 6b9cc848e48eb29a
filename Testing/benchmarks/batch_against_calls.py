"""How long a batch takes, beside as many calls of `run`.

    python Testing/benchmarks/batch_against_calls.py [--studies 20] [--spacing 4] [--workers 1]

Studies are made torsos; both write a `.seg.nrrd` and a report for each, with the shipped model.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

from DeepImagingLib.phantoms import torso_ct

MODEL = "torso_ct_segmentation"
FIRST_SEED = 1_000_100
ROOT = Path(__file__).parents[2]


def write_studies(folder: Path, count: int, spacing: float) -> list[Path]:
    """Write so many made CTs as NIfTI."""
    folder.mkdir()
    paths = []
    for number in range(count):
        image = torso_ct.sample(FIRST_SEED + number, (spacing,) * 3)[0]["ct"]
        paths.append(folder / f"torso{number:02}.nii.gz")
        hounsfield = image.numpy()[0].round().astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(hounsfield, np.asarray(image.affine)), paths[-1])
    return paths


def seconds_of(*words: object) -> float:
    """Call the command line; returns how long it took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "DeepImagingLib", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--spacing", type=float, default=4.0, help="mm")
    parser.add_argument("--workers", type=int, default=1)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        paths = write_studies(top / "scans", parsed.studies, parsed.spacing)
        together = seconds_of(
            "batch", top / "scans", "--model", MODEL, "--output", top / "batch", "--workers", parsed.workers
        )
        again = seconds_of("batch", top / "scans", "--model", MODEL, "--output", top / "batch")
        outputs = [[top / "calls" / f"{path.name}{ending}" for ending in (".seg.nrrd", ".json")] for path in paths]
        apart = sum(
            seconds_of("run", path, "--model", MODEL, "--output", output[0], "--output", output[1])
            for path, output in zip(paths, outputs, strict=True)
        )
    print(f"{parsed.studies} made torsos at {parsed.spacing:g} mm")
    print(f"{'':<28}{'seconds':>10}{'a study':>10}")
    for what, seconds in (
        (f"batch, {parsed.workers} worker(s)", together),
        ("the same call again", again),
        ("separate calls of run", apart),
    ):
        print(f"{what:<28}{seconds:>10.1f}{seconds / parsed.studies:>10.2f}")
    print(f"The batch takes {together / apart:.0%} of the time ({apart / together:.1f} times as fast).")


if __name__ == "__main__":
    main()
