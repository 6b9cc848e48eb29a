"""Run the torso model on real scans: `python Testing/figures/torso_ct_on_real_scans.py DIR [--model NAME|FOLDER]`.

Writes an overview of each CT of a torso to the folder and prints millilitres and Hounsfield units (mean ± SD) of its
segments, then the millilitres found in what is no CT of a torso, where there should be next to none: scans of heads,
MR, and made heads, limbs and test objects. Scans come from the folder that DEEPIMAGING_TEST_DATA names, as in tests.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from monai.data import MetaTensor

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

from DeepImagingLib import run
from DeepImagingLib.bundles.find import find_bundle
from DeepImagingLib.cli import main as command_line
from DeepImagingLib.files import as_image
from DeepImagingLib.files.read import read
from DeepImagingLib.phantoms.hounsfield import render
from DeepImagingLib.phantoms.other_objects import draw_other

TORSOS = ("ct_abdomen_dicom", "ct_chest_4dlung.nii.gz", "ct_3slice_dicom")
OTHERS = (
    "head_dicom_torchio",
    "mr_abdomen.nii.gz",
    "mr_brain_tumour.nrrd",
    "mr_head_t1_mcd.nii.gz",
    "mr_stroke_t1.nii.gz",
    "mr_template_spm152.nii.gz",
)
MADE = range(8)
MADE_SHAPE, MADE_SPACING = (80, 80, 70), (3.0, 3.0, 3.0)


def main() -> None:
    """Run all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="torso_ct_segmentation")
    chosen = parser.parse_args()
    data = Path(os.environ.get("DEEPIMAGING_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not data.is_dir():
        parser.error(f"{data} is no folder of real scans; name one in DEEPIMAGING_TEST_DATA")
    model = str(find_bundle(chosen.model))
    chosen.output.mkdir(parents=True, exist_ok=True)
    for name in TORSOS:
        picture = chosen.output / f"{name.partition('.')[0]}.png"
        if command_line(["run", str(data / name), "--model", model, "--output", str(picture)]):
            sys.exit(1)
        tell(model, data / name)
    for name in OTHERS:
        tell_volumes(model, name, read(data / name))
    for seed in MADE:
        tell_volumes(model, f"made head, limbs or test object {seed}", made(seed))


def tell(model: str, scan: Path) -> None:
    """Print what was found in a scan and how bright it is."""
    image = read(scan)
    result = run(model, image)
    volumes = result.millilitres()
    print(scan.name)
    for segment in result.segments:
        if volumes[segment.id]:
            inside = image.numpy()[0][result.mask(segment)]
            print(f"  {segment.name:18} {volumes[segment.id]:8.0f} mL {np.mean(inside):6.0f} ± {np.std(inside):.0f} HU")


def made(seed: int) -> MetaTensor:
    """Return a CT of something that is no torso."""
    rng = np.random.default_rng([seed, 1_000_000])
    materials, _ = draw_other(MADE_SHAPE, MADE_SPACING, rng)
    return as_image(render(materials, MADE_SPACING, rng)[None], np.diag([*MADE_SPACING, 1.0]))


def tell_volumes(model: str, name: str, image: MetaTensor) -> None:
    """Print how much of organs was found where there is none."""
    result = run(model, image)
    volumes = result.millilitres()
    found = {segment.name: volumes[segment.id] for segment in result.segments if volumes[segment.id] >= 1}
    most = sorted(found.items(), key=lambda item: -item[1])
    print(f"{name}: " + (", ".join(f"{organ} {volume:.0f} mL" for organ, volume in most) or "nothing"))


if __name__ == "__main__":
    main()
