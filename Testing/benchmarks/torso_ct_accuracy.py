"""Dice of the shipped torso model on the public abdomen CT and on held-out phantoms of both families, by whole runs.

    python Testing/benchmarks/torso_ct_accuracy.py [--write]

The scan is TotalSegmentator's public test case (wasserth/TotalSegmentator, tests/reference_files/example_ct_dicom,
Apache-2.0); the reference is that project's own output, a network's, with its gaps. `--write` puts the numbers into
the model's metadata.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib import files, run
from DeepImagingLib.bundles.find import find_bundle
from DeepImagingLib.phantoms import contour_torso, torso_ct
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.results import Segmentation

MODEL = "torso_ct_segmentation"
ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("DEEPIMAGING_TEST_DATA") or ROOT.parent / "shared" / "data")
PUBLIC_NAME = "TotalSegmentator example_ct_dicom"
# TotalSegmentator's "total" task, version 2: the numbers that make up each of our structures.
REFERENCE_IDS = {
    "right lung": [12, 13, 14],
    "left lung": [10, 11],
    "aorta": [52],
    "liver": [5],
    "spleen": [1],
    "bone": [*range(25, 51), *range(69, 79), *range(92, 117)],
}
BONES = (Organ.SPINE, Organ.RIBS, Organ.HIPS, Organ.SACRUM, Organ.FEMURS, Organ.OTHER_BONE)
TOGETHER = {"bone": BONES, "body": tuple(Organ)[1:]}
"""What models call by one name and phantoms have apart."""

FAMILIES = {"the family it was trained on": torso_ct.sample, "another family": contour_torso.sample}
FIELD_OF_VIEW = (420.0, 340.0, 500.0)
PHANTOM_SEEDS = range(1_000_000, 1_000_004)
SMALLEST_ML = 5.0  # what the scan holds less of can't be scored


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Return the overlap of two masks, 2 |A∩B| / (|A| + |B|)."""
    return float(2 * (first & second).sum() / max(first.sum() + second.sum(), 1))


def on_real_scan() -> dict[str, float]:
    """Return structure → Dice on the public abdomen slab, for what the reference holds."""
    result = run(MODEL, DATA / "ct_abdomen_dicom")
    reference = files.read(DATA / "ct_abdomen_dicom_seg.nii.gz")
    labels = reference.numpy()[0][tuple(_flips(result.affine, np.asarray(reference.affine)))]
    scores = {}
    ours = {segment.name for segment in result.segments}
    for name, ids in REFERENCE_IDS.items():
        if name not in ours:
            continue
        truth = np.isin(labels, ids)
        if truth.sum() * result.voxel_ml >= SMALLEST_ML:
            scores[name] = round(dice(result.mask(name), truth), 3)
    return scores


def _flips(affine: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> list[slice]:
    """Return how to turn the other grid's axes round so that both run the same way; they are the same otherwise."""
    same = np.sign(np.diag(affine)[:3]) == np.sign(np.diag(other)[:3])
    return [slice(None) if s else slice(None, None, -1) for s in same]


def on_phantoms(sample: Callable[..., Any]) -> dict[str, float]:
    """Return structure → mean Dice over held-out phantoms at 2 mm, as a user's scan would come."""
    scores: dict[str, list[float]] = {}
    for seed in PHANTOM_SEEDS:
        images, truth = sample(seed, (2.0, 2.0, 2.0), FIELD_OF_VIEW)
        result = run(MODEL, images["ct"])
        for segment in result.segments:
            there = np.isin(truth.layers[0], TOGETHER.get(segment.name) or _value(truth, segment.name))
            if there.any():
                scores.setdefault(segment.name, []).append(dice(result.mask(segment), there))
    return {name: round(float(np.mean(values)), 3) for name, values in scores.items()}


def _value(truth: Segmentation, name: str) -> list[int]:
    return [segment.value for segment in truth.segments if segment.name == name]


def write(measured: Mapping[str, Mapping[str, float]]) -> None:
    """Put what was measured into the model's metadata."""
    path = find_bundle(MODEL) / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metrics = {f"dice, {where}: {name}": score for where, scores in measured.items() for name, score in scores.items()}
    metadata["eval_metrics"].update(metrics)
    path.write_text(json.dumps(metadata, indent=4) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the numbers into the model's metadata")
    parsed = parser.parse_args()
    measured = {
        f"public CT that was looked at while training ({PUBLIC_NAME}, 40 mm slab)": on_real_scan(),
    }
    for family, sample in FAMILIES.items():
        measured[f"{len(PHANTOM_SEEDS)} held-out phantoms of {family} at 2 mm"] = on_phantoms(sample)
    print(json.dumps(measured, indent=2))
    if parsed.write:
        write(measured)


if __name__ == "__main__":
    main()
