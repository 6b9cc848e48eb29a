"""What was measured of a detector: numbers as JSON, boxes and missed lesions as rows, the curve as a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepImagingLib.evaluation.coco import precision_and_recall
from DeepImagingLib.evaluation.froc import POINTS, cpm, froc, intervals
from DeepImagingLib.evaluation.hits import LEAST_IOU, Hit, Numbers, Outcome, Scan, judge, only
from DeepImagingLib.evaluation.numbers import plain, plains
from DeepImagingLib.files.staging import staged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EDGES_MM = (0.0, 6.0, 10.0, 20.0, np.inf)
"""Between groups of diameters: Fleischner's 6 mm, and sizes that radiologists tell apart."""

COLUMNS = (
    "scan",
    "result",
    "score",
    "lesion",
    "label",
    "diameter_mm",
    *(f"{name}_mm" for name in ("r", "a", "s", "i", "j", "k")),
)
"""The middle in RAS, and the lengths along the axes of the image's voxels."""


def summary(scans: Sequence[Scan], outcomes: Sequence[Outcome], hit: Hit, threshold: float) -> dict[str, Any]:
    """Return all that is told of a set of scans.

    Args:
        scans, outcomes: Of the same scans.
        hit: What counted as one.
        threshold: The score from which a box is a finding by default.
    """
    spans = intervals(outcomes) if len(outcomes) > 1 else {}
    false = [int((outcome.false >= threshold).sum()) for outcome in outcomes]
    return {
        "scans": len(scans),
        "lesions": froc(outcomes).lesions,
        "hit": "middle of the box in the lesion" if hit is Hit.CENTRE else f"intersection over union of {LEAST_IOU:g}",
        "cpm": plain(cpm(outcomes)),
        "cpm_interval": [plain(end) for span in spans.get("cpm", []) for end in span] or None,
        "false_positives": list(POINTS),
        "sensitivities": plains(froc(outcomes).at()),
        "sensitivity_intervals": [plains(span) for span in spans.get("sensitivities", [])] or None,
        "by_diameter": {name: _of_group(outcomes, *edges, threshold) for name, edges in groups().items()},
        **({"by_label": _by_label(scans, hit)} if any(scan.labels is not None for scan in scans) else {}),
        **precision_and_recall(scans),
        "at_default_threshold": {
            "threshold": threshold,
            "sensitivity": _found_share(outcomes, 0.0, np.inf, threshold),
            "false_positives": plain(np.mean(false)),
            "most_false_positives": max(false),
        },
        "intervals": "95 %, by bootstrap over scans",
    }


def groups() -> dict[str, tuple[float, float]]:
    """Return name → smallest and largest diameter in mm (which is not in it any more)."""
    pairs = list(pairwise(EDGES_MM))
    names = [f"{low:g}–{high:g} mm" for low, high in pairs[:-1]] + [f"{EDGES_MM[-2]:g} mm and more"]
    return dict(zip([f"below {EDGES_MM[1]:g} mm", *names[1:]], pairs, strict=True))


def _of_group(outcomes: Sequence[Outcome], low: float, high: float, threshold: float) -> dict[str, Any]:
    curve = froc(outcomes, max(low, 1e-9), high)
    return {
        "lesions": curve.lesions,
        "cpm": plain(curve.at().mean()),
        "sensitivities": plains(curve.at()),
        "sensitivity_at_default_threshold": _found_share(outcomes, low, high, threshold),
    }


def _by_label(scans: Sequence[Scan], hit: Hit) -> dict[str, Any]:
    """Return what is told of each label's lesions, among the false positives of its boxes."""
    told = {}
    for name in sorted({label for scan in scans for label in scan.lesion_labels}):
        outcomes = [judge(only(scan, name), hit) for scan in scans]
        curve = froc(outcomes)
        told[name] = {"lesions": curve.lesions, "cpm": plain(cpm(outcomes)), "sensitivities": plains(curve.at())}
    return told


def _found_share(outcomes: Sequence[Outcome], low: float, high: float, threshold: float) -> float | None:
    every = low == 0 and np.isinf(high)
    chosen = [o.found[every | ((o.diameters >= low) & (o.diameters < high))] for o in outcomes]
    found = np.concatenate(chosen)
    return plain((found >= threshold).mean()) if len(found) else None


def write_report(
    folder: Path, scans: Sequence[Scan], outcomes: Sequence[Outcome], told: Mapping[str, Any], title: str
) -> tuple[Path, ...]:
    """Write evaluation.json, findings.csv and froc.png into a folder, all or none; returns their paths.

    Raises:
        InputError: The folder can't be used.
        OutputError: They can't be written.
    """
    finals = tuple(folder / name for name in ("evaluation.json", "findings.csv", "froc.png"))
    with staged(finals) as places:
        numbers, table, picture = (places[final] for final in finals)
        numbers.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with table.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            for scan, outcome in zip(scans, outcomes, strict=True):
                rows.writerows(_rows(scan, outcome))
        _draw(picture, outcomes, title, str(told["hit"]))
    return finals


def _rows(scan: Scan, outcome: Outcome) -> Iterator[list[Any]]:
    """Yield a row for each box, the best first, and for each lesion that none hits, or a nearer lesion's box alone."""
    for n in np.argsort(-scan.scores, kind="stable"):
        lesion = int(outcome.lesion[n])
        label = _label(scan.labels, n)
        told = [lesion + 1, label, _cell(scan.diameters[lesion])] if lesion >= 0 else ["", label, ""]
        result = "hit" if lesion >= 0 else "false positive"
        yield [scan.name, result, f"{scan.scores[n]:.4f}", *told, *_place(scan, scan.boxes[n])]
    for lesion in sorted(set(range(len(scan.lesions))) - set(outcome.lesion.tolist())):
        score = outcome.found[lesion]
        what = ["missed", ""] if np.isnan(score) else ["hit by another's box", f"{score:.4f}"]
        told = [lesion + 1, _label(scan.lesion_labels, lesion), _cell(scan.diameters[lesion])]
        yield [scan.name, *what, *told, *_place(scan, scan.lesions[lesion])]


def _label(labels: Sequence[str] | None, n: int) -> str:
    return labels[n] if labels else ""


def _place(scan: Scan, box: Numbers) -> list[str]:
    return [*map(_cell, scan.axes @ box[:3]), *map(_cell, box[3:])]


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _draw(path: Path, outcomes: Sequence[Outcome], title: str, hit: str) -> None:
    """Draw the curve of all lesions, its interval, and those of groups of diameters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log", base=2)
    axes.set(xlim=(POINTS[0], POINTS[-1]), ylim=(0, 1.02), title=title)
    axes.set(xlabel="false positives a scan", ylabel=f"sensitivity (hit: {hit})")
    axes.set_xticks(POINTS, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.grid(alpha=0.3)
    if froc(outcomes).lesions:
        _draw_curves(axes, outcomes)
        figure.legend(loc="outside right upper", fontsize=8)
    else:
        axes.text(0.5, 0.5, "There is no lesion to find in these scans.", ha="center", transform=axes.transAxes)
    figure.savefig(path, dpi=110, format="png")


def _draw_curves(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    places = np.geomspace(POINTS[0], POINTS[-1], 61)
    axes.plot(places, froc(outcomes).at(places), color="black", linewidth=2.5, label=f"all: mean {cpm(outcomes):.3f}")
    if len(outcomes) > 1:
        low, high = zip(*intervals(outcomes)["sensitivities"], strict=True)
        axes.fill_between(POINTS, low, high, color="black", alpha=0.12, linewidth=0, label="95 % interval")
    for name, (smallest, largest) in groups().items():
        curve = froc(outcomes, max(smallest, 1e-9), largest)
        if curve.lesions:
            axes.plot(places, curve.at(places), linewidth=1.2, label=f"{name} ({curve.lesions})")
