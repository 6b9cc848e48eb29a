"""Dice of the torso model on two public CTs and on held-out phantoms of both families, by whole runs.

Simple rules by Hounsfield units stand beside it: a structure that a threshold finds better is not worth a network.

    python -m Testing.benchmarks.torso_ct_accuracy [--model NAME|FOLDER] [--write]

One scan is TotalSegmentator's public test case (wasserth/TotalSegmentator, tests/reference_files/example_ct_dicom,
Apache-2.0); the reference is that project's own output, a network's, with its gaps. The other has three slices, with
liver and spine outlined. `--write` puts the numbers into the model's metadata.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib import files, run
from DeepImagingLib.bundles.find import find_bundle
from DeepImagingLib.phantoms import contour_torso, torso_ct
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.results import Segmentation
from Testing.benchmarks.hounsfield_rules import by_rules

MODEL = "torso_ct_segmentation"
ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("DEEPIMAGING_TEST_DATA") or ROOT.parent / "shared" / "data")
# TotalSegmentator's "total" task, version 2: the numbers that make up each of our structures.
REFERENCE_IDS = {
    "right lung": [12, 13, 14],
    "left lung": [10, 11],
    "aorta": [52],
    "liver": [5],
    "spleen": [1],
    "stomach": [6],
    "bowel": [18, 19, 20],
    "pancreas": [7],
    "vena cava": [63],
    "spine": [*range(26, 51)],
    "ribs": [*range(92, 116)],
    "bone": [*range(25, 51), *range(69, 79), *range(92, 117)],
}


@dataclass(frozen=True)
class Real:
    """A real scan with a reference: what to call it, its files, and the numbers that make up our structures."""

    name: str
    scan: str
    reference: str
    ids: Mapping[str, Sequence[int]]


REAL = (
    Real(
        "public CT that was looked at while training (TotalSegmentator example_ct_dicom, 40 mm slab)",
        "ct_abdomen_dicom",
        "ct_abdomen_dicom_seg.nii.gz",
        REFERENCE_IDS,
    ),
    Real(
        "public CT of three slices (QIICR dcmqi, data/segmentations)",
        "ct_3slice_dicom",
        "ct_3slice_liver_spine_seg.nrrd",
        {"liver": [1], "spine": [2]},
    ),
)

BONES = (Organ.SPINE, Organ.RIBS, Organ.HIPS, Organ.SACRUM, Organ.FEMURS, Organ.OTHER_BONE)
TOGETHER = {"bone": list(BONES), "body": list(Organ)[1:]}
"""What models call by one name and phantoms have apart."""

FAMILIES = {"the family it was trained on": torso_ct.sample, "another family": contour_torso.sample}
FIELD_OF_VIEW = (420.0, 340.0, 500.0)
PHANTOM_SEEDS = range(1_000_100, 1_000_106)  # the first ones of those kept for tests choose weights in training
SMALLEST_ML = 5.0  # what the scan holds less of can't be scored
LEAST = 0.6
NEVER_SHOWN = ("body", "other tissue")  # they would hide all others

Mask = npt.NDArray[np.bool_]
Scores = dict[str, dict[str, float]]


def dice(first: Mask, second: Mask) -> float:
    """Return the overlap of two masks, 2 |A∩B| / (|A| + |B|)."""
    return float(2 * (first & second).sum() / max(first.sum() + second.sum(), 1))


def on_real_scan(model: str, real: Real) -> Scores:
    """Return Dice on a real scan, for what the reference holds."""
    image = files.read(DATA / real.scan)
    result = run(model, image)
    reference = files.read(DATA / real.reference)
    labels = reference.numpy()[0][tuple(_flips(result.affine, np.asarray(reference.affine)))]
    there = {name: np.isin(labels, ids) for name, ids in real.ids.items()}
    there = {name: mask for name, mask in there.items() if mask.sum() * result.voxel_ml >= SMALLEST_ML}
    return _scores(result, image.numpy()[0], there)


def _scores(result: Segmentation, image: npt.NDArray[np.float32], there: Mapping[str, Mask]) -> Scores:
    """Return way → structure → Dice: of the network, and of the rules."""
    ours = {segment.name: result.mask(segment) for segment in result.segments}
    ruled = by_rules(image, result.affine)
    return {
        way: {name: dice(found[name], there[name]) for name in there if name in found}
        for way, found in (("network", ours), ("rules", ruled))
    }


def _flips(affine: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> list[slice]:
    """Return how to turn the other grid's axes round so that both run the same way; they are the same otherwise."""
    same = np.sign(np.diag(affine)[:3]) == np.sign(np.diag(other)[:3])
    return [slice(None) if s else slice(None, None, -1) for s in same]


def on_phantoms(model: str, sample: Callable[..., Any]) -> Scores:
    """Return mean Dice over held-out phantoms at 2 mm, as a user's scan would come."""
    all_scores = []
    for seed in PHANTOM_SEEDS:
        images, truth = sample(seed, (2.0, 2.0, 2.0), FIELD_OF_VIEW)
        result = run(model, images["ct"])
        values = {segment.name: [segment.value] for segment in truth.segments} | TOGETHER
        there = {name: np.isin(truth.layers[0], value) for name, value in values.items()}
        there = {name: mask for name, mask in there.items() if mask.sum() * result.voxel_ml >= SMALLEST_ML}
        all_scores.append(_scores(result, np.asarray(images["ct"])[0], there))
    return {way: _means([scores[way] for scores in all_scores]) for way in all_scores[0]}


def _means(scores: list[dict[str, float]]) -> dict[str, float]:
    names = {name: None for score in scores for name in score}
    return {name: float(np.mean([score[name] for score in scores if name in score])) for name in names}


def not_shown(measured: Mapping[str, Scores]) -> list[str]:
    """Return which structures aren't shown by default.

    On the mean of the real scans that hold them, those below LEAST or no better than their rule; of those that none
    holds, the ones below LEAST on the phantoms of either family.
    """
    names_of_real = [real.name for real in REAL]
    scans = [measured[name] for name in names_of_real]
    real = {way: _means([scores[way] for scores in scans]) for way in scans[0]}
    made = [scores for name, scores in measured.items() if name not in names_of_real]
    names = dict.fromkeys(name for scores in measured.values() for name in scores["network"])
    return [
        name
        for name in names
        if not (
            _holds_up(real, name)
            if name in real["network"]
            else all(_holds_up(scores, name, by_rules=False) for scores in made if name in scores["network"])
        )
    ]


def _holds_up(scores: Scores, name: str, by_rules: bool = True) -> bool:
    score = scores["network"][name]
    return score >= LEAST and not (by_rules and score <= scores["rules"].get(name, 0.0))


def write(model: str, measured: Mapping[str, Scores]) -> None:
    """Put what was measured, by network and by rule, into the model's metadata, and which structures don't hold up."""
    path = find_bundle(model) / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    for where, scores in measured.items():
        for name, score in scores["network"].items():
            metadata["eval_metrics"][f"dice, {where}: {name}"] = round(score, 3)
        for name, score in scores["rules"].items():
            metadata["eval_metrics"][f"dice of a simple rule, {where}: {name}"] = round(score, 3)
    hidden = dict.fromkeys([*NEVER_SHOWN, *not_shown(measured)])
    for name, parts in metadata["groups"].items():
        hidden |= dict.fromkeys(parts if name not in hidden else ())  # the whole stands for them
    metadata["hidden"] = list(hidden)
    path.write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def show(where: str, scores: Scores) -> None:
    """Print a table: structure, network, rules."""
    print(where)
    for name, score in scores["network"].items():
        rule = scores["rules"].get(name)
        print(f"  {name:18} {score:.3f}" + (f"   rule {rule:.3f}" if rule is not None else ""), flush=True)


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL, help="name or folder of the model")
    parser.add_argument("--write", action="store_true", help="put the numbers into the model's metadata")
    parsed = parser.parse_args()
    measured = {real.name: on_real_scan(parsed.model, real) for real in REAL}
    for family, sample in FAMILIES.items():
        where = f"{len(PHANTOM_SEEDS)} held-out phantoms of {family} at 2 mm"
        measured[where] = on_phantoms(parsed.model, sample)
    for where, scores in measured.items():
        show(where, scores)
    if parsed.write:
        write(parsed.model, measured)


if __name__ == "__main__":
    main()
