"""The table node of findings: numbers with their units in the heads of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from DeepImagingLib.results import Detection
from DeepImagingLib.scene.tables import as_table

Row = tuple[int, Detection, str, str]
"""Rank, finding, place and review in words."""


def fill(table: Any, rows: Sequence[Row]) -> None:
    """Replace what a vtkMRMLTableNode holds by a row for each finding.

    Centres are RAS in mm; diameters are those of the box along its edges that lie nearest to right–left, anterior–
    posterior and superior–inferior. What a bundle tells beyond that has columns of its own. A table that holds all
    this already isn't touched, so that whoever follows it can have it filled again.
    """
    made = as_table(_columns(rows))
    if _content(made) != _content(table.GetTable()):
        table.SetAndObserveTable(made)


def _content(table: Any) -> list[tuple[str, list[str]]]:
    columns = [table.GetColumn(number) for number in range(table.GetNumberOfColumns())]
    return [(one.GetName(), [repr(one.GetValue(n)) for n in range(one.GetNumberOfValues())]) for one in columns]


def _columns(rows: Sequence[Row]) -> dict[str, Sequence[Any]]:
    boxes = [box for _, box, _, _ in rows]
    diameters = [patient_diameters(box) for box in boxes]
    further = dict.fromkeys(name for box in boxes for name in box.more)
    fixed: dict[str, Sequence[Any]] = {
        "Rank": [rank for rank, _, _, _ in rows],
        "Label": [box.label for box in boxes],
        "Score": [box.score for box in boxes],
        **{f"Center {axis} (mm)": [box.center[n] for box in boxes] for n, axis in enumerate("RAS")},
        **{f"{axes} (mm)": [one[n] for one in diameters] for n, axes in enumerate(("R-L", "A-P", "S-I"))},
        "Volume (mL)": [box.millilitres for box in boxes],
        "Place": [place for _, _, place, _ in rows],
        "Review": [review for _, _, _, review in rows],
    }
    return fixed | {
        f"{name} (model)" if name in fixed else name: [box.more.get(name, float("nan")) for box in boxes]
        for name in further
    }


def patient_diameters(box: Detection) -> tuple[float, float, float]:
    """Return the lengths in mm of the edges nearest to the patient's R-L, A-P and S-I axes; each edge is taken once."""
    from scipy.optimize import linear_sum_assignment

    _, edges = linear_sum_assignment(-np.abs(box.axes))
    first, second, third = (float(box.size[edge]) for edge in edges)
    return first, second, third
