"""Fine-tuning against scratch with 4, 8 and 16 made scans of a structure that the shipped model never had.

    python Testing/figures/finetuning.py DIR [--scans 4 8 16] [--minutes 5]

The structure is the spinal canal (cord and fluid), on made torsos that no model has seen; Dice is measured on eight
others. Made scans are easier than real ones: what this shows is what fewer scans cost, not what to expect of patients.
"""

from __future__ import annotations

import argparse
import csv
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


def main() -> None:
    """Train, write a table and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where scans, models, table and figure go")
    parser.add_argument("--scans", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--minutes", type=float, default=5.0, help="for each training")
    given = parser.parse_args()
    rows = []
    for count in given.scans:
        listed = write_scans(given.folder / "scans", count)
        for base in (SHIPPED, SCRATCH):
            dice = trained(listed, base, given.folder / f"{base}_{count}", given.minutes)
            rows.append({"scans": count, "from": base, "dice": round(dice, 3)})
            print(rows[-1], flush=True)
    with (given.folder / "finetuning.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    draw(rows, given.folder / "finetuning.png", given.minutes)


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


def trained(listed: Path, base: str, output: Path, minutes: float) -> float:
    """Return the mean Dice of the best weights on the held-out scans."""
    dataset = read_dataset(listed, {LABEL: 1})
    trainer = draft(Assignment(dataset, base, output)).begin(minutes=minutes)
    trainer.run()
    return trainer.course.best


def draw(rows: list[dict[str, Any]], path: Path, minutes: float) -> None:
    """Draw Dice over the number of scans."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 4))
    for base in (SHIPPED, SCRATCH):
        ours = [row for row in rows if row["from"] == base]
        axes.plot([row["scans"] for row in ours], [row["dice"] for row in ours], marker="o", label=f"from {base}")
    axes.set(xlabel="made scans to train on", ylabel=f"Dice of the {LABEL}, {HELD_OUT} others", ylim=(0, 1))
    axes.set_title(f"{minutes:g} minutes of training each")
    axes.set_xticks(sorted({row["scans"] for row in rows}))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
