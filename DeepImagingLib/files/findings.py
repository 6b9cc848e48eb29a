"""Write a detector's boxes as `.json` or `.csv`, with their units and coordinate system in the file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from DeepImagingLib.results import Detection, Detections

COORDINATES = "RAS, mm"
NOT_REVIEWED = "not reviewed"
Reviews = Mapping[int, str]
"""Number of a box in `Detections.boxes` to what a reviewer said of it."""
_UNITS = {
    "center_ras": "mm: right, anterior, superior",
    "size_mm": "mm, along the columns of `axes`",
    "milliliters": "mL, of the ellipsoid that fills the box",
    "index_box": "voxels of the input, i0 j0 k0 i1 j1 k1, whole numbers at voxel centres",
    "score": "0 to 1, comparable within one model only",
}


def findings_report(result: Detections, reviews: Reviews | None = None) -> dict[str, Any]:
    """Return what was found and how, as plain values.

    Args:
        result: Its boxes at or above the threshold are under `findings`, the rest under `below_threshold`.
        reviews: What was said of boxes; the others are "not reviewed".
    """
    reviews = reviews or {}
    told = [_plain(box, reviews.get(number, NOT_REVIEWED)) for number, box in enumerate(result.boxes)]
    count = len(result.findings)
    return {
        "findings": told[:count],
        "below_threshold": told[count:],
        "threshold": result.threshold,
        "labels": list(result.labels),
        "coordinate_system": COORDINATES,
        "units": _UNITS,
        "geometry": {
            "shape": [int(n) for n in result.shape],
            "ijk_to_ras": result.affine.tolist(),
            "coordinate_system": COORDINATES,
            "axes": result.boxes[0].axes.tolist() if result.boxes else None,
        },
        "provenance": asdict(result.provenance) if result.provenance else None,
    }


def _plain(box: Detection, review: str) -> dict[str, Any]:
    return {
        "label": box.label,
        "score": round(box.score, 5),
        "center_ras": [round(value, 3) for value in box.center],
        "size_mm": [round(value, 3) for value in box.size],
        "milliliters": round(box.millilitres, 4),
        "index_box": [round(value, 3) for value in box.index_box],
        "review": review,
        **({"more": dict(box.more)} if box.more else {}),
    }


def write_findings_json(result: Detections, path: Path, reviews: Reviews | None = None) -> list[Path]:
    """Write the report as JSON; returns the files written."""
    text = json.dumps(findings_report(result, reviews), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return [path]


def write_findings_csv(result: Detections, path: Path, reviews: Reviews | None = None) -> list[Path]:
    """Write a table of all boxes, the highest score first; returns the files written.

    The column names tell units and coordinate system; `finding` is 1 at or above the threshold.
    """
    reviews = reviews or {}
    more = list(dict.fromkeys(name for box in result.boxes for name in box.more))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["rank", "finding", "label", "score"]
            + [f"center_{axis}_mm" for axis in ("right", "anterior", "superior")]
            + [f"size_{axis}_mm" for axis in "ijk"]
            + ["volume_mL", *(f"index_{axis}{end}" for end in "01" for axis in "ijk"), "review", *more]
        )
        for number, box in enumerate(result.boxes):
            row = _plain(box, reviews.get(number, NOT_REVIEWED))
            writer.writerow(
                [number + 1, int(box.score >= result.threshold), row["label"], row["score"], *row["center_ras"]]
                + [*row["size_mm"], row["milliliters"], *row["index_box"], row["review"]]
                + [box.more.get(name, "") for name in more]
            )
    return [path]


DETECTION_WRITERS: dict[str, Callable[[Detections, Path], list[Path]]] = {
    ".json": write_findings_json,
    ".csv": write_findings_csv,
}
