"""A classifier run on images whose findings are known: what it says of them, and whether its heatmaps point there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.class_cases import Case
from DeepImagingLib.evaluation.classifying import Explained, summary, write_report
from DeepImagingLib.evaluation.judged import Judged
from DeepImagingLib.evaluation.truthfulness import Baseline, deletion, energy, insertion, pointing
from DeepImagingLib.files import as_image
from DeepImagingLib.options import Options
from DeepImagingLib.results import Classification
from DeepImagingLib.tasks.classification import NONE

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle

    Run = Callable[[MetaTensor, Options], Classification]

TOLERANCE_MM = 15.0
"""How far beside its region a map's maximum may lie."""
TAKEN_AWAY = 20
"""Steps of the deletion and insertion curves."""
PUBLISHED = "published"
"""Key of the metadata: {"source", "on", "auroc": label → number}, what others measured. No key of MONAI's."""


def published(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a bundle's metadata tell of others' figures; empty where they don't."""
    told = metadata.get(PUBLISHED)
    if not isinstance(told, Mapping) or not isinstance(told.get("auroc"), Mapping):
        return {}
    areas = {label: area for label, area in told["auroc"].items() if isinstance(area, (int, float))}
    return {"source": str(told.get("source")), "on": str(told.get("on")), "auroc": areas}


def measure(
    bundle: Bundle, cases: Iterator[Case], run: Run, options: Options, folder: Path, told: dict[str, Any]
) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Run the model on each case, and write what came of it; with `options.heatmaps`, of these as well.

    Returns:
        What `evaluation.json` tells, and the files written.

    Raises:
        InputError: No case shows a label of the model, or of labels that exclude each other some aren't known.
    """
    names, truths, subjects, results, explained = [], [], [], [], []
    for case in cases:
        result = run(case.image, replace(options, heatmaps=()))
        case = _spelt(case, result.labels)
        names.append(case.name)
        subjects.append(case.subject)
        judged_labels = _judged(result, case)
        truths.append([_shows(case, result.labels[n]) for n in judged_labels])
        results.append(replace(result, heatmaps=()))
        if options.heatmaps:
            explained += _explained(case, result.labels, run, options)
    if not results or not np.any(truths):
        raise InputError(f"No image shows a label of {bundle.name!r}; they have to be spelt as the model spells them.")
    judged = Judged(
        tuple(names),
        tuple(results[0].labels[n] for n in judged_labels),
        np.array(truths),
        np.array([result.probabilities for result in results])[:, judged_labels],
        tuple(results[0].thresholds[n] for n in judged_labels),
        results[0].exclusive,
        np.array([result.uncalibrated for result in results])[:, judged_labels] if results[0].uncalibrated else None,
        tuple(subjects) if all(subjects) else None,
    )
    unlike = [result.is_unlike for result in results if result.unlike is not None]
    told = told | summary(judged, explained)
    if without := [label for label in results[0].labels if label not in judged.labels]:
        told["labels_without_truth"] = without
    if unlike:
        told["flagged_as_unlike_training_data"] = float(np.mean(unlike))
    if explained:
        told["explanations_by"] = {
            "method": options.method,
            "pointing_tolerance_mm": TOLERANCE_MM,
            "steps": TAKEN_AWAY,
            "baseline": "blurred",
        }
    return told, write_report(folder, judged, told, f"{bundle.name} on {told['on']}")


def _judged(result: Classification, case: Case) -> list[int]:
    """Return the numbers of the labels whose truth is known; raises InputError where that is too little."""
    findings = [label for label in result.labels if label.lower() not in NONE]
    all_known = all(label in case.known for label in findings)
    known = [n for n, name in enumerate(result.labels) if name in case.known or (all_known and name not in findings)]
    missing = [label for n, label in enumerate(result.labels) if n not in known]
    if not any(label in case.known for label in result.labels) or (missing and result.exclusive):
        raise InputError(
            f"Nothing is known of {', '.join(map(repr, missing or result.labels))} in {case.name}; labels have to be "
            "spelt as the model spells them."
        )
    return known


def _spelt(case: Case, labels: Sequence[str]) -> Case:
    """Return the case with its labels spelt as the model spells them, where capital and small letters alone differ."""
    folded = Counter(label.lower() for label in labels)
    names = {label.lower(): label for label in labels if folded[label.lower()] == 1}

    def spell(label: str) -> str:
        return label if label in labels else names.get(label.lower(), label)

    regions = {spell(label): region for label, region in case.regions.items()}
    known = tuple(map(spell, case.known))
    return replace(case, findings=frozenset(map(spell, case.findings)), regions=regions, known=known)


def _shows(case: Case, label: str) -> bool:
    return not case.findings if label.lower() in NONE and label not in case.findings else label in case.findings


def _explained(case: Case, labels: Sequence[str], run: Run, options: Options) -> list[Explained]:
    """Return what was measured of the heatmaps of all findings whose place is known."""
    wanted = tuple(label for label in labels if label in case.regions and case.regions[label].any())
    if not wanted:
        return []
    spacing = np.linalg.norm(np.asarray(case.image.affine)[:3, :2], axis=0).tolist()
    found = []
    for heat in run(case.image, replace(options, heatmaps=wanted)).heatmaps:
        values, region = heat.values[..., 0], case.regions[heat.label]

        def probability(image: npt.NDArray[np.float64], label: str = heat.label) -> float:
            return run(_like(case.image, image), replace(options, heatmaps=())).by_label[label]

        curves = {
            name: change(case.image.numpy(), values, probability, baseline=Baseline.BLURRED, steps=TAKEN_AWAY)
            for name, change in (("deletion", deletion), ("insertion", insertion))
        }
        figures = {
            "pointing game": pointing(values, region, spacing, TOLERANCE_MM),
            "energy in region": energy(values, region),
            "region": float(region.mean()),
            **{name: curve.area for name, curve in curves.items()},
        }
        if heat.sameness is not None:
            figures["sameness with random weights"] = heat.sameness
        along = {name: curve.probabilities for name, curve in curves.items()}
        found.append(Explained(case.name, heat.label, heat.method, figures, along))
    return found


def _like(image: MetaTensor, values: npt.NDArray[np.float64]) -> MetaTensor:
    return as_image(values.astype(np.float32), np.asarray(image.affine))
