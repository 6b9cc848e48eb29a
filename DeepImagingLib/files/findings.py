"""Write a detector's boxes as `.json` or `.csv`, with their units and coordinate system in the file."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from DeepImagingLib.results import Detection, Detections

COORDINATES = "RAS, mm"
NOT_REVIEWED = "not reviewed"
_UNITS = {
    "center_ras": "mm: right, anterior, superior",
    "size_mm": "mm, along the columns of `axes`",
    "milliliters": "mL, of the ellipsoid that fills the box",
    "index_box": "voxels of the input, i0 j0 k0 i1 j1 k1, whole numbers at voxel centres",
    "score": "0 to 1, comparable within one model only",
}


@dataclass(frozen=True)
class KeptBoxes:
    """What is still there of a run's boxes, where somebody went through them, and what was said of them.

    Attributes:
        reviews: Number of a box in `Detections.boxes` to what a reviewer said of it; the others are "not reviewed".
        ranks: Of each box among all that the run found, from 1; empty where they are all there.
        found: How many the run found; None where they are all there.
        shown_from: The score from which they are shown; None where nobody looks at them.
    """

    reviews: Mapping[int, str] = field(default_factory=dict)
    ranks: Sequence[int] = ()
    found: int | None = None
    shown_from: float | None = None

    def rank(self, number: int) -> int:
        """Return the rank of a box by its number in `Detections.boxes`."""
        return self.ranks[number] if self.ranks else number + 1


def findings_report(result: Detections, kept: KeptBoxes | None = None) -> dict[str, Any]:
    """Return what was found and how, as plain values.

    Args:
        result: Its boxes at or above the threshold are under `findings`, the rest under `below_threshold`, whatever
            was said of them.
        kept: What became of the boxes since the run.
    """
    kept = kept or KeptBoxes()
    told = [_plain(box, number, kept) for number, box in enumerate(result.boxes)]
    is_finding = [box.score >= result.threshold for box in result.boxes]
    return {
        "findings": [one for one, above in zip(told, is_finding, strict=True) if above],
        "below_threshold": [one for one, above in zip(told, is_finding, strict=True) if not above],
        "threshold": result.threshold,
        **({} if kept.shown_from is None else {"shown_from": kept.shown_from}),
        "kept": len(result.boxes),
        "found": _found(result, kept),
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


def _found(result: Detections, kept: KeptBoxes) -> int:
    return len(result.boxes) if kept.found is None else kept.found


def _plain(box: Detection, number: int, kept: KeptBoxes) -> dict[str, Any]:
    return {
        "rank": kept.rank(number),
        "label": box.label,
        "score": round(box.score, 5),
        "center_ras": [round(value, 3) for value in box.center],
        "size_mm": [round(value, 3) for value in box.size],
        "milliliters": round(box.millilitres, 4),
        "index_box": [round(value, 3) for value in box.index_box],
        "review": kept.reviews.get(number, NOT_REVIEWED),
        **({"more": {name: _number(value) for name, value in box.more.items()}} if box.more else {}),
    }


def _number(value: float) -> float | None:
    """Return a number as JSON knows it, which is finite or null."""
    return value if math.isfinite(value) else None


def write_findings_json(result: Detections, path: Path, kept: KeptBoxes | None = None) -> list[Path]:
    """Write the report as JSON; returns the files written."""
    text = json.dumps(findings_report(result, kept), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return [path]


def write_findings_csv(result: Detections, path: Path, kept: KeptBoxes | None = None) -> list[Path]:
    """Write a table of all boxes, the highest score first; returns the files written.

    The column names tell units and coordinate system: centres grow towards the patient's right, front and head (RAS).
    `finding` is 1 at or above the threshold, `boxes_found` is how many the run found, of which these are kept.
    """
    kept = kept or KeptBoxes()
    more = list(dict.fromkeys(name for box in result.boxes for name in box.more))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["rank", "finding", "label", "score"]
        columns += [f"center_{axis}_mm" for axis in ("right", "anterior", "superior")]
        columns += [f"size_{axis}_mm" for axis in "ijk"]
        columns += ["volume_mL", *(f"index_{axis}{end}" for end in "01" for axis in "ijk"), "review", "boxes_found"]
        writer.writerow([*columns, *(f"{name} (model)" if name in columns else name for name in more)])
        for number, box in enumerate(result.boxes):
            row = _plain(box, number, kept)
            writer.writerow(
                [row["rank"], int(box.score >= result.threshold), row["label"], row["score"], *row["center_ras"]]
                + [*row["size_mm"], row["milliliters"], *row["index_box"], row["review"], _found(result, kept)]
                + [box.more.get(name, "") for name in more]
            )
    return [path]


DETECTION_WRITERS: dict[str, Callable[[Detections, Path], list[Path]]] = {
    ".json": write_findings_json,
    ".csv": write_findings_csv,
}
