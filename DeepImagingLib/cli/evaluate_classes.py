"""`evaluate` of a classifier: on made radiographs, or on pictures with a table of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.options import Options

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from DeepImagingLib.bundles import Bundle
    from DeepImagingLib.evaluation.classifying import Explained
    from DeepImagingLib.hosts.warm import WarmModels
    from DeepImagingLib.results import Classification

    Run = Callable[[MetaTensor, Options], Classification]

NONE = ("no finding", "none", "normal")
"""What a label is called that says there is none of the others."""
TOLERANCE_MM = 15.0
"""How far beside its region a map's maximum may lie."""
TAKEN_AWAY = 20
"""Steps of the deletion and insertion curves."""
BOXES = "BBox_List_2017.csv"
PUBLISHED = "published"
"""Key of the metadata: {"source", "on", "auroc": label → number}, what others measured. No key of MONAI's."""


@dataclass(frozen=True)
class Case:
    """One image and what it shows.

    Attributes:
        name: Of the image.
        image: (C, I, J).
        findings: Names of the labels it shows.
        regions: Label to (I, J) where that is.
        subject: Whose image it is.
        known: Names of all labels that are known to be there or not.
    """

    name: str
    image: MetaTensor
    findings: frozenset[str]
    regions: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    subject: str = ""
    known: tuple[str, ...] = ()


def radiographs(seeds: range, exposures: int = 1) -> Iterator[Case]:
    """Yield made chest radiographs, as they are displayed: so many of each body, which is one subject.

    Raises:
        InputError: There is to be less than one of a body.
    """
    from DeepImagingLib.phantoms import chest_xray, torso_ct
    from DeepImagingLib.phantoms.xray_findings import Finding

    if exposures < 1:
        raise InputError(f"Each phantom needs a radiograph at least; --exposures {exposures} is none.")
    for seed in seeds:
        body = torso_ct.draw(seed, chest_xray.BODY_SPACING, chest_xray.BODY_SIZE)
        for number in range(seed * exposures, (seed + 1) * exposures):
            images, truth = chest_xray.expose(body, number, photometric="MONOCHROME2")
            found = frozenset(chest_xray.present(truth))
            regions = {name: truth.mask(name)[..., 0] for name in found}
            known = tuple(one.value for one in Finding)
            yield Case(f"radiograph {number}", images["cxr"], found, regions, f"phantom {seed}", known)


def pictures(folder: Path, listed: str | None = None) -> Iterator[Case]:
    """Yield the pictures that a folder's one table of labels names, with their boxes where there is a list of these.

    Args:
        folder: With pictures in folders of any depth.
        listed: Path, from the folder on, of a list of those to take; without one, all are.

    Raises:
        InputError: There is no table, it doesn't know a picture of the list, or a picture is missing.
    """
    from DeepImagingLib.files import read
    from DeepImagingLib.files.labels import find_pictures, read_boxes, read_labels, read_list

    tables = sorted(path for path in folder.glob("*.csv") if path.name != BOXES)
    if len(tables) != 1:
        raise InputError(f"The folder {folder.name!r} has {len(tables)} tables of labels (.csv); leave one in it.")
    table = read_labels(tables[0])
    boxes = read_boxes(folder / BOXES) if (folder / BOXES).is_file() else {}
    names = read_list(folder / listed) if listed else tuple(table.on)
    table.truth(names, ())  # tells of a picture it doesn't know
    for name, path in zip(names, find_pictures(folder, names), strict=True):
        image = read(path)
        regions: dict[str, npt.NDArray[np.bool_]] = {}
        for box in boxes.get(name, ()):
            mask = box.mask((int(image.shape[1]), int(image.shape[2])))
            regions[box.label] = regions.get(box.label, np.zeros_like(mask)) | mask
        yield Case(name, image, table.on[name], regions, table.subjects.get(name, ""), table.labels)


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
    from DeepImagingLib.evaluation.classifying import summary, write_report
    from DeepImagingLib.evaluation.judged import Judged

    names, truths, subjects, results, explained = [], [], [], [], []
    for case in cases:
        result = run(case.image, replace(options, heatmaps=()))
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
    known = [n for n, label in enumerate(result.labels) if label in case.known or label.lower() in NONE]
    missing = [label for n, label in enumerate(result.labels) if n not in known]
    if not any(label in case.known for label in result.labels) or (missing and result.exclusive):
        raise InputError(
            f"Nothing is known of {', '.join(map(repr, missing or result.labels))} in {case.name}; labels have to be "
            "spelt as the model spells them."
        )
    return known


def _shows(case: Case, label: str) -> bool:
    return not case.findings if label.lower() in NONE and label not in case.findings else label in case.findings


def _explained(case: Case, labels: Sequence[str], run: Run, options: Options) -> list[Explained]:
    """Return what was measured of the heatmaps of all findings whose place is known."""
    from DeepImagingLib.evaluation.classifying import Explained
    from DeepImagingLib.evaluation.truthfulness import Baseline, deletion, energy, insertion, pointing

    wanted = tuple(label for label in labels if label in case.regions and case.regions[label].any())
    if not wanted:
        return []
    spacing = np.linalg.norm(np.asarray(case.image.affine)[:3, :2], axis=0).tolist()
    found = []
    for heat in run(case.image, replace(options, heatmaps=wanted)).heatmaps:
        values, region = heat.values[..., 0], case.regions[heat.label]

        def probability(image: npt.NDArray[np.float64], label: str = heat.label) -> float:
            return run(_like(case.image, image), replace(options, heatmaps=())).by_label[label]

        curves = [
            curve(case.image.numpy(), values, probability, baseline=Baseline.BLURRED, steps=TAKEN_AWAY).area
            for curve in (deletion, insertion)
        ]
        figures = {
            "pointing game": pointing(values, region, spacing, TOLERANCE_MM),
            "energy in region": energy(values, region),
            "region": float(region.mean()),
            "deletion": curves[0],
            "insertion": curves[1],
        }
        if heat.sameness is not None:
            figures["sameness with random weights"] = heat.sameness
        found.append(Explained(case.name, heat.label, heat.method, figures))
    return found


def _like(image: MetaTensor, values: npt.NDArray[np.float64]) -> MetaTensor:
    from DeepImagingLib.files import as_image

    return as_image(values.astype(np.float32), np.asarray(image.affine))


def runner(bundle: Bundle, models: WarmModels, **reporting: Any) -> Run:
    """Return what runs a bundle, which stays built in between."""
    from DeepImagingLib import run
    from DeepImagingLib.results import Classification

    def once(image: MetaTensor, options: Options) -> Classification:
        result = run(bundle, image, options, build=models.build, **reporting)
        assert isinstance(result, Classification)  # of a classifier
        return result

    return once
