"""The tables of a classification: a row a label, and of a volume that was seen slice by slice a row a slice; a plot."""

from __future__ import annotations

from typing import Any

import numpy as np

from DeepImagingLib.results import Classification
from DeepImagingLib.scene.removal import PART_REFERENCE
from DeepImagingLib.scene.tables import as_table

SLICE = "Slice"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#7f7f7f")
"""Colours of the plot: Okabe and Ito's, which the colour-blind can tell apart, and grey."""


def fill_classes(table: Any, result: Classification) -> None:
    """Replace what a vtkMRMLTableNode holds by a row a label; "Uncalibrated" is NaN where nothing was calibrated."""
    columns: dict[str, list[Any]] = {
        "Label": list(result.labels),
        "Probability": [float(value) for value in result.probabilities],
        "Threshold": [float(value) for value in result.thresholds],
        "Found": [int(label in result.found) for label in result.labels],
        "Uncalibrated": list(result.uncalibrated) or [float("nan")] * len(result.labels),
    }
    _fill(table, columns)


def add_slices(table: Any, result: Classification) -> None:
    """Add the probabilities of the slices that were looked at as a table, and their plot, as parts of `table`."""
    import slicer

    if result.slices is None:
        return
    name = f"{table.GetName()} by slice"
    seen = np.flatnonzero(~np.isnan(result.slices).any(axis=1))
    by_slice, chart = _add(table, "vtkMRMLTableNode", name), _add(table, "vtkMRMLPlotChartNode", name)
    columns = dict(zip(result.labels, result.slices[seen].T.tolist(), strict=True))
    _fill(by_slice, {SLICE: seen.astype(float).tolist(), **columns})
    chart.SetTitle(name)
    chart.SetXAxisTitle(SLICE)
    chart.SetYAxisTitle("Probability")
    chart.YAxisRangeAutoOff()
    chart.SetYAxisRange(0.0, 1.0)
    for number, label in enumerate(result.labels):
        series = _add(table, "vtkMRMLPlotSeriesNode", label)
        series.SetAndObserveTableNodeID(by_slice.GetID())
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetXColumnName(SLICE)
        series.SetYColumnName(label)
        series.SetColor(*_color(number))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _add(table: Any, kind: str, name: str) -> Any:
    """Add a node that goes with the table."""
    node = table.GetScene().AddNewNodeByClass(kind, name)
    table.AddNodeReferenceID(PART_REFERENCE, node.GetID())
    return node


def _fill(table: Any, columns: dict[str, list[Any]]) -> None:
    table.SetAndObserveTable(as_table(columns))
    table.SetUseColumnTitleAsColumnHeader(True)


def _color(number: int) -> tuple[float, ...]:
    text = LINES[number % len(LINES)]
    return tuple(int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
