"""The course of a training as a plot of the scene: Dice of the scans that are kept back, and the loss."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

STEP, LOSS = "step", "loss"
COLORS = ((0.12, 0.47, 0.71), (0.84, 0.15, 0.16))


class TrainingCurve:
    """Follows the table that a training writes; its nodes are made with the first row and stay in the scene."""

    def __init__(self) -> None:
        self._stamp = 0
        self.chart: Any = None
        self._table: Any = None

    def follow(self, path: Path) -> bool:
        """Take over what is new in the table; tells whether there was anything."""
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
        if stamp in (0, self._stamp):
            return False
        self._stamp = stamp
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        mean = next((name for name in rows[0] if name.endswith(": mean")), "") if rows else ""
        if not mean:
            return False
        if self.chart is None or self.chart.GetScene() is None:
            self._makeNodes()
        self._fill([(float(row[STEP]), row.get(mean), row.get(LOSS)) for row in rows])
        return True

    def _makeNodes(self) -> None:
        scene = slicer.mrmlScene
        self._table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(_("Training")))
        self._table.SetUseColumnTitleAsColumnHeader(True)
        self.chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(_("Training curve")))
        self.chart.SetTitle(_("Training"))
        self.chart.SetXAxisTitle(_("Step"))
        for column, color in zip((_("Dice"), _("Loss")), COLORS):
            series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", column)
            series.SetAndObserveTableNodeID(self._table.GetID())
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
            series.SetXColumnName(_("Step"))
            series.SetYColumnName(column)
            series.SetColor(*color)
            self.chart.AddAndObservePlotSeriesNodeID(series.GetID())

    def _fill(self, rows: list[tuple[float, Any, Any]]) -> None:
        import vtk

        table = vtk.vtkTable()
        columns = [vtk.vtkDoubleArray() for _unused in range(3)]
        for column, name in zip(columns, (_("Step"), _("Dice"), _("Loss"))):
            column.SetName(name)
        last: list[float] = [float("nan")] * 2  # Dice is measured now and then, the loss at every step
        for step, *values in rows:
            last = [float(value) if value else before for value, before in zip(values, last)]
            for column, value in zip(columns, (step, *last)):
                column.InsertNextValue(value)
        for column in columns:
            table.AddColumn(column)
        self._table.SetAndObserveTable(table)
