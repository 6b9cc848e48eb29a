"""Fine-tuning against scratch with 4, 8 and 16 made scans of a structure that the shipped model never had.

    python Testing/figures/finetuning.py DIR [--scans 4 8 16] [--steps 150]

The structure is the spinal canal (cord and fluid), on made torsos that no model has seen; Dice is measured on eight
others. Made scans are easier than real ones: what this shows is what fewer scans cost, not what to expect of patients.

Beside that, where the test data are there, the liver in an abdomen MR cut into five slabs, of which the middle one is
held out. It is one patient, and the slabs lie next to each other: that shows that a CT model can be brought to MR at
all, and nothing of other patients.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.phantoms.hounsfield import render
from DeepImagingLib.phantoms.torso import Material
from DeepImagingLib.training.cases import read_dataset
from DeepImagingLib.training.compose import SCRATCH, Assignment, draft

SHIPPED = "torso_ct_segmentation"
SPACING, FIELD_OF_VIEW = (3.0, 3.0, 3.0), (420.0, 340.0, 420.0)
FIRST_SEED, HELD_OUT = 1_000_200, 8
LABEL = "spinal canal"
ROOT = Path(__file__).parents[2]
MR = Path(os.environ.get("DEEPIMAGING_TEST_DATA") or ROOT.parent / "shared" / "data") / "mr_abdomen.nii.gz"
MR_LIVER, SLABS = 5, 5


def main() -> None:
    """Train, write a table and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where scans, models, table and figure go")
    parser.add_argument("--scans", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--steps", type=int, default=150, help="of each training, whatever else the machine does")
    given = parser.parse_args()
    rows = []
    for count in given.scans:
        listed = write_scans(given.folder / "scans", count)
        for base in (SHIPPED, SCRATCH):
            dice = trained(listed, LABEL, base, given.folder / f"{base}_{count}", given.steps)
            rows.append({"what": LABEL, "scans": count, "from": base, "dice": round(dice, 3)})
            print(rows[-1], flush=True)
    for base in (SHIPPED, SCRATCH) if MR.is_file() else ():
        dice = trained(write_slabs(given.folder / "mr"), "liver", base, given.folder / f"mr_{base}", given.steps)
        rows.append({"what": "liver in slabs of one MR", "scans": SLABS - 1, "from": base, "dice": round(dice, 3)})
        print(rows[-1], flush=True)
    with (given.folder / "finetuning.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    draw([row for row in rows if row["what"] == LABEL], given.folder / "finetuning.png", given.steps)


def write_scans(folder: Path, count: int) -> Path:
    """Write scans and labels that aren't there yet, and a list of so many to train on; returns the list."""
    import nibabel

    folder.mkdir(parents=True, exist_ok=True)
    lines = ["image,label,split"]
    for number in range(HELD_OUT + count):
        name, seed = f"{FIRST_SEED + number}.nii.gz", FIRST_SEED + number
        if not (folder / f"label_{name}").is_file():
            materials, _, affine = torso_ct.draw(seed, SPACING, FIELD_OF_VIEW)
            image = render(materials, SPACING, np.random.default_rng([seed, 1]))
            nibabel.save(nibabel.Nifti1Image(np.rint(image).astype(np.int16), affine), folder / name)
            canal = (materials == Material.CORD).astype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(canal, affine), folder / f"label_{name}")
        lines.append(f"{name},label_{name},{'validation' if number < HELD_OUT else 'train'}")
    path = folder / f"list_{count}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_slabs(folder: Path) -> Path:
    """Write the slabs of the MR and of its liver, and a list of them; returns the list."""
    import nibabel

    folder.mkdir(parents=True, exist_ok=True)
    image = nibabel.load(MR)
    labels = nibabel.load(MR.with_name("mr_abdomen_seg.nii.gz"))
    liver = nibabel.Nifti1Image((np.asarray(labels.dataobj) == MR_LIVER).astype(np.uint8), labels.affine)
    lines = ["image,label,subject,split"]
    for number, planes in enumerate(np.array_split(np.arange(image.shape[2]), SLABS)):
        for name, whole in ((f"{number}.nii.gz", image), (f"label_{number}.nii.gz", liver)):
            nibabel.save(whole.slicer[:, :, planes[0] : planes[-1] + 1], folder / name)
        split = "validation" if number == SLABS // 2 else "train"
        lines.append(f"{number}.nii.gz,label_{number}.nii.gz,slab {number},{split}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "list.csv"


def trained(listed: Path, label: str, base: str, output: Path, steps: int) -> float:
    """Return the mean Dice of the best weights on the held-out scans."""
    dataset = read_dataset(listed, {label: 1})
    trainer = draft(Assignment(dataset, base, output, settings={"steps": steps})).begin()
    trainer.run()
    return trainer.course.best


def draw(rows: list[dict[str, Any]], path: Path, steps: int) -> None:
    """Draw Dice over the number of scans."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 4))
    for base in (SHIPPED, SCRATCH):
        ours = [row for row in rows if row["from"] == base]
        axes.plot([row["scans"] for row in ours], [row["dice"] for row in ours], marker="o", label=f"from {base}")
    axes.set(xlabel="made scans to train on", ylabel=f"Dice of the {LABEL}, {HELD_OUT} others", ylim=(0, 1))
    axes.set_title(f"{steps} steps of training each")
    axes.set_xticks(sorted({row["scans"] for row in rows}))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
