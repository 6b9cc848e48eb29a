"""Draw real scans above made ones: `python Testing/figures/phantoms_beside_real.py ct|xray FILE.png [--seed N]`.

Real ones come from the folder that DEEPIMAGING_TEST_DATA names, as in the tests.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

from DeepImagingLib.files.read import read
from DeepImagingLib.phantoms import chest_xray, torso_ct

Panel = tuple[str, npt.NDArray[np.float32], float]  # a title, rows of grey values, height of a row by width of a column

CT_SCANS = ("ct_abdomen_dicom", "ct_chest_4dlung.nii.gz", "ct_3slice_dicom")
RADIOGRAPHS = ("cxr_nih_cardiomegaly.png", "cxr_hannover_covid/*.png")
WINDOW = (-160.0, 240.0)  # width 400, level 40
COLUMNS = 5


def main() -> None:
    """Draw one figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("ct", "xray"))
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first phantom; the others follow")
    chosen = parser.parse_args()
    data = Path(os.environ.get("DEEPIMAGING_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not data.is_dir():
        parser.error(f"{data} is no folder of real scans; name one in DEEPIMAGING_TEST_DATA")
    if chosen.kind == "ct":
        panels = [*real_ct(data), *made_ct(chosen.seed)]
    else:
        panels = [*real_radiographs(data), *made_radiographs(chosen.seed)]
    draw(panels, chosen.output)


def real_ct(data: Path) -> Iterator[Panel]:
    """Yield an axial slice or two and, of what is tall, a coronal one."""
    for name in CT_SCANS:
        image = read(data / name)
        yield from slices(name, image.numpy()[0], image.affine.numpy())


def made_ct(first: int) -> Iterator[Panel]:
    """Yield the same of phantoms."""
    for seed in range(first, first + 4):
        images, _ = torso_ct.sample(seed, (2, 2, 5), (420, 340, 500))
        yield from slices(f"made {seed}", images["ct"].numpy()[0], images["ct"].affine.numpy())


def slices(name: str, volume: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]) -> Iterator[Panel]:
    """Yield slices of (I, J, K) HU, patient's right at the left, front or head up."""
    for axis in range(3):
        if affine[axis, axis] > 0:  # to LPI, so that columns run to the left, rows down
            volume = np.flip(volume, axis)
    step = np.abs(np.diag(affine)[:3])
    grey = np.clip((volume - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1)
    tall = grey.shape[2] > 30
    for k in (grey.shape[2] // 3, 2 * grey.shape[2] // 3) if tall else (grey.shape[2] // 2,):
        yield name, grey[:, :, k].T, step[1] / step[0]
    if tall:
        yield name, grey[:, grey.shape[1] // 2].T, step[2] / step[0]


def real_radiographs(data: Path) -> Iterator[Panel]:
    """Yield radiographs as their files have them."""
    for pattern in RADIOGRAPHS:
        for path in sorted(data.glob(pattern)):
            yield path.name, read(path).numpy()[0].T, 1.0


def made_radiographs(first: int) -> Iterator[Panel]:
    """Yield phantoms, told what was put into them; every one with air dark."""
    for seed in range(first, first + 2 * COLUMNS):
        images, truth = chest_xray.sample(seed, photometric="MONOCHROME2")
        found = ", ".join(chest_xray.present(truth)) or "nothing"
        yield f"made {seed} {images['cxr'].meta['view']}: {found}", images["cxr"].numpy()[0].T, 1.0


def draw(panels: list[Panel], output: Path) -> None:
    """Write panels in rows as one PNG."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = -(-len(panels) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(4 * COLUMNS, 4.2 * rows), squeeze=False)
    for panel in axes.flat:
        panel.axis("off")
    for panel, (title, grey, aspect) in zip(axes.flat, panels):
        panel.imshow(grey, cmap="gray", aspect=aspect)
        panel.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(output, dpi=90)


if __name__ == "__main__":
    main()
