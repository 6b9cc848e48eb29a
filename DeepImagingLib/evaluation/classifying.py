"""What was measured of a classifier: numbers as JSON, a row an image, ROC and reliability curves as pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from DeepImagingLib.evaluation.bootstrap import Measured, mean_of
from DeepImagingLib.evaluation.calibration import BINS, ece, ece_by_chance, top_label
from DeepImagingLib.evaluation.curves import draw_reliability, draw_roc
from DeepImagingLib.evaluation.hits import Numbers
from DeepImagingLib.evaluation.judged import Judged
from DeepImagingLib.evaluation.numbers import plain, plains
from DeepImagingLib.evaluation.roc import aurocs, rates
from DeepImagingLib.files.staging import staged

FILES = ("evaluation.json", "images.csv", "roc.png", "reliability.png")


@dataclass(frozen=True)
class Explained:
    """What was measured of a heatmap (see `truthfulness`).

    Attributes:
        image, label, method: Of what, and how it was made.
        figures: "pointing game", "energy in region", "deletion", "insertion", … to what came of it; what wasn't
            measured is left out.
        curves: Figure that is the area under a curve, to its heights at equal steps from 0 to 1.
    """

    image: str
    label: str
    method: str
    figures: Mapping[str, float]
    curves: Mapping[str, Numbers] = field(default_factory=dict)


def summary(judged: Judged, explained: Sequence[Explained] = (), seed: int = 0) -> dict[str, Any]:
    """Return all that is told of a set of images, as plain values.

    Args:
        judged: What was said, and what is.
        explained: Of heatmaps, if any.
        seed: Of the intervals' draws.
    """
    areas = aurocs(judged.truth, judged.probabilities, judged.subjects, seed)
    found = rates(judged.truth, judged.found)
    labels: dict[str, dict[str, Any]] = {}
    for n, label in enumerate(judged.labels):
        labels[label] = {
            "images": int(judged.truth[:, n].sum()),
            **_told("auroc", areas.labels[n]),
            **_calibration(judged, n),
            "threshold": None if judged.exclusive else judged.thresholds[n],
            **{name: plain(values[n]) for name, values in found.items()},
        }
    unit = "images" if judged.subjects is None else "subjects"
    owners = dict(zip(judged.images, judged.subjects or judged.images, strict=True))
    return {
        "images": len(judged.images),
        **({} if judged.subjects is None else {"subjects": len(set(judged.subjects))}),
        **_told("macro_auroc", areas.macro),
        **_told("micro_auroc", areas.micro),
        **_means(labels, ("ece", "ece_uncalibrated", "ece_by_chance")),
        **(_top_label(judged) if judged.exclusive else {}),
        "labels": labels,
        **({"explanations": _explanations(explained, owners, seed)} if explained else {}),
        "calibration": f"expected error in {BINS} bins of as many images, a label; by chance: were probabilities right",
        "intervals": f"95 %, by bootstrap over {unit}",
    }


def _told(name: str, measured: Measured) -> dict[str, Any]:
    known = not np.isnan(measured.low)
    span = [plain(measured.low), plain(measured.high)] if known else None
    return {name: plain(measured.value), f"{name}_interval": span}


def _calibration(judged: Judged, n: int) -> dict[str, float | None]:
    truth, said = judged.truth[:, n], judged.probabilities[:, n]
    before = {} if judged.uncalibrated is None else {"ece_uncalibrated": plain(ece(truth, judged.uncalibrated[:, n]))}
    return {"ece": plain(ece(truth, said)), **before, "ece_by_chance": plain(ece_by_chance(said))}


def _means(labels: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, float | None]:
    first = next(iter(labels.values()))
    return {name: plain(np.mean([told[name] for told in labels.values()])) for name in names if name in first}


def _top_label(judged: Judged) -> dict[str, Any]:
    right, sure = top_label(judged.truth, judged.probabilities)
    return {"accuracy": plain(right.mean()), "top_label_ece": plain(ece(right, sure))}


def _explanations(explained: Sequence[Explained], owners: Mapping[str, str], seed: int) -> dict[str, Any]:
    """Return method → figure → its mean, interval and number of heatmaps, of all labels and of each."""
    return {
        method: {
            **_mean_figures(ours, owners, seed),
            "labels": {label: _mean_figures(some, owners, seed) for label, some in _apart(ours, "label").items()},
        }
        for method, ours in _apart(explained, "method").items()
    }


def _apart(explained: Sequence[Explained], by: str) -> dict[str, list[Explained]]:
    apart: dict[str, list[Explained]] = {}
    for one in explained:
        apart.setdefault(getattr(one, by), []).append(one)
    return apart


def _mean_figures(explained: Sequence[Explained], owners: Mapping[str, str], seed: int) -> dict[str, Any]:
    told = {}
    for name in dict.fromkeys(name for one in explained for name in one.figures):
        ours = [one for one in explained if name in one.figures]
        mean = mean_of([one.figures[name] for one in ours], [owners.get(one.image, one.image) for one in ours], seed)
        curves = [one.curves[name] for one in ours if name in one.curves]
        told[name] = {**_told("mean", mean), "heatmaps": len(ours), **(_mean_curve(curves) if curves else {})}
    return told


def _mean_curve(curves: Sequence[Numbers]) -> dict[str, Any]:
    """Return the mean height of curves at each share of the image."""
    mean = np.mean(curves, axis=0)
    return {"curve": {"shares": plains(np.linspace(0, 1, len(mean))), "mean": plains(mean)}}


def write_report(folder: Path, judged: Judged, told: Mapping[str, Any], title: str) -> tuple[Path, ...]:
    """Write `FILES` into a folder, all or none; returns their paths.

    Args:
        folder: Made where it is missing.
        judged: What was said, and what is.
        told: The summary of it.
        title: Of the pictures.

    Raises:
        InputError: The folder can't be used.
        OutputError: They can't be written.
    """
    finals = tuple(folder / name for name in FILES)
    with staged(finals) as places:
        numbers, table, roc, reliable = (places[final] for final in finals)
        numbers.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with table.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["image", *judged.labels, *(f"probability of {label}" for label in judged.labels)])
            for name, truth, said in zip(judged.images, judged.truth, judged.probabilities, strict=True):
                rows.writerow([name, *truth, *(f"{value:.5f}" for value in said)])
        draw_roc(roc, judged, told, title)
        draw_reliability(reliable, judged, told, title)
    return finals
