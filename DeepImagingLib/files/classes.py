"""Write a classifier's probabilities as `.json` or `.csv`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from DeepImagingLib.files.names import unique_ids
from DeepImagingLib.files.write import save_nifti
from DeepImagingLib.results import Classification, Heatmap

DIGITS = 6


def classes_report(result: Classification) -> dict[str, Any]:
    """Return what was found and how, as plain values.

    `probabilities` always maps every label to its number; `found` names those that reach their threshold, or the most
    probable one where labels exclude each other.
    """
    return {
        "probabilities": {label: round(value, DIGITS) for label, value in result.by_label.items()},
        "found": list(result.found),
        "exclusive": result.exclusive,
        "thresholds": dict(zip(result.labels, result.thresholds, strict=True)),
        **({"uncalibrated": _by_label(result, result.uncalibrated)} if result.uncalibrated else {}),
        "unlike_training_data": None
        if result.unlike is None
        else {"score": round(result.unlike, 3), "flagged": result.is_unlike},
        **({} if result.slices is None else {"slices": _slices(result)}),
        "heatmaps": [_heatmap(heat) for heat in result.heatmaps],
        "geometry": {
            "shape": [int(n) for n in result.shape],
            "ijk_to_ras": result.affine.tolist(),
            "coordinate_system": "RAS, mm",
        },
        "provenance": asdict(result.provenance) if result.provenance else None,
    }


def _by_label(result: Classification, values: Sequence[float]) -> dict[str, float]:
    return {label: round(value, DIGITS) for label, value in zip(result.labels, values, strict=True)}


def _slices(result: Classification) -> list[dict[str, Any]]:
    """Return a row for each slice that was looked at, by its index along the third axis."""
    assert result.slices is not None
    seen = np.flatnonzero(~np.isnan(result.slices).any(axis=1))
    return [{"index": int(n), "probabilities": _by_label(result, result.slices[n].tolist())} for n in seen]


def _heatmap(heat: Heatmap) -> dict[str, Any]:
    return {
        "label": heat.label,
        "method": heat.method,
        "layer": heat.layer,
        "lowest": float(heat.values.min()),
        "highest": float(heat.values.max()),
        "sameness_with_random_weights": heat.sameness,
        "doubt": heat.doubt,
    }


def write_classes_json(result: Classification, path: Path) -> list[Path]:
    """Write the report as JSON; returns the files written."""
    path.write_text(json.dumps(classes_report(result), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [path]


def write_classes_csv(result: Classification, path: Path) -> list[Path]:
    """Write a row a label, and behind them a row a slice and label; returns the files written."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["slice", "label", "probability", "threshold", "found", "uncalibrated", "unlike_training_data"])
        for n, label in enumerate(result.labels):
            raw = round(result.uncalibrated[n], DIGITS) if result.uncalibrated else ""
            found = int(label in result.found)
            unlike = "" if result.unlike is None else round(result.unlike, 3)
            writer.writerow(
                ["", label, round(result.probabilities[n], DIGITS), result.thresholds[n], found, raw, unlike]
            )
        for row in _slices(result) if result.slices is not None else ():
            for label, value in row["probabilities"].items():
                writer.writerow([row["index"], label, value, "", "", "", ""])
    return [path]


def write_heatmaps(result: Classification, path: Path) -> list[Path]:
    """Write each heatmap as NIfTI, `NAME_LABEL_METHOD.nii.gz`, raw values; returns the files written."""
    stem = path.name[: -len(".nii.gz")]
    ids = unique_ids([f"{heat.label} {heat.method}" for heat in result.heatmaps])
    named = zip(result.heatmaps, ids, strict=True)
    return [save_nifti(heat.values, result.affine, path.with_name(f"{stem}_{id_}.nii.gz")) for heat, id_ in named]


CLASSIFICATION_WRITERS: dict[str, Callable[[Classification, Path], list[Path]]] = {
    ".json": write_classes_json,
    ".csv": write_classes_csv,
    ".nii.gz": write_heatmaps,
}
