"""What a panel shows of a classification: bars, heatmaps on a click, the course over slices, beside what all have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import DeepImagingError
from DeepImagingLib.results import Classification
from DeepImagingLib.scene.removal import part_nodes
from DeepImagingPanel import looks
from DeepImagingPanel.class_bars import ClassBars
from DeepImagingPanel.class_files import fileKinds, save
from DeepImagingPanel.heatmap_choice import HeatmapChoice
from DeepImagingPanel.overlay_view import OverlayView
from DeepImagingPanel.result_frame import ResultFrame
from DeepImagingPanel.slice_plot import SlicePlot
from DeepImagingPanel.stored_result import provenanceOf
from DeepImagingPanel.table_text import asText

SHOWN, THERE, COMING = "●", "○", "…"

Explain = Callable[[Any, str, str, str], None]
"""Has a heatmap made: of a result's table, a label, by a method, of a layer."""


class ClassesSection(ResultFrame):
    """Follows one table node of a classification.

    Args:
        explain: Lines up a heatmap that isn't there yet; "" as layer is the last one.
        isComing: Tells of a node and a label, or also a method and a layer, whether such a heatmap is being made.
    """

    content = "ClassesContent.ui"

    def __init__(self, explain: Explain, isComing: Callable[..., bool] = lambda *asked: False) -> None:
        super().__init__()
        ui = self.ui
        self._explain = explain
        self._isComing = isComing
        self._result: Classification | None = None
        self._plot = SlicePlot(self._goTo)
        self._bars = ClassBars(ui.classesView, self._onClass, self._showSlices)
        self._overlay = OverlayView(ui, self._update)
        self.choice = HeatmapChoice(ui)
        ui.plotPlace.addWidget(self._plot)
        ui.copyButton.connect("clicked()", self.copy)
        shortcut = qt.QShortcut(self)
        shortcut.setKey(qt.QKeySequence(qt.QKeySequence.Copy))
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", self.copy)
        ui.highestButton.connect("clicked()", self._goToHighest)
        ui.chartButton.connect("clicked()", self._showChart)
        self.clear()

    def fileKinds(self) -> dict[str, str]:
        """Return the files that a classification can be saved to."""
        return fileKinds()

    def save(self, chosen: str, ending: str) -> list[Path]:
        """Write the probabilities, or their picture."""
        return save(self.node, chosen, ending)

    def showContent(self) -> None:
        """Show probabilities, heatmaps and slices."""
        self._result = scene.classification_of(self.node) if self.node is not None else None
        self._overlay.show(self.node)
        self._bars.show(self._result, self._marks())
        if self._result is not None and not self._bars.current:
            self._bars.choose(self._result.labels[int(np.argmax(self._result.probabilities))])
        self.ui.classesHint.text = self._hint()
        self._showSlices()

    def notes(self) -> list[str]:
        """Tell where the image, or the map that is shown, is not to be believed."""
        shown = self._shownMap()
        notes = [looks.sentence(provenanceOf(self.node).get("bundle", ""))] if self._result.is_unlike else []
        doubt = shown.heatmap.doubt if shown is not None else ""
        return [*notes, f"{shown.node.GetName()}: {doubt}."] if doubt else notes

    def copy(self) -> None:
        """Put the table on the clipboard as text with tabs, as spreadsheets take it."""
        if self.node is not None:
            qt.QApplication.clipboard().setText(asText(self.node.GetTable()))

    def _marks(self) -> dict[str, str]:
        """Return what the bars tell of each class's heatmap."""
        if self.node is None:
            return {}
        shown = self._shownMap()
        marks = {one.label: THERE for one in scene.shown_heatmaps(self.node)}
        marks |= {label: COMING for label in self._result.labels if self._isComing(self.node, label)}
        return {**marks, **({shown.label: SHOWN} if shown is not None else {})}

    def _shownMap(self) -> Any:
        current = self._overlay.current
        maps = scene.shown_heatmaps(self.node) if current is not None and self.node is not None else []
        return next((one for one in maps if one.node is current), None)

    def _hint(self) -> str:
        if self._result is None:
            return ""
        if not self._result.found:
            return _("Nothing reaches its threshold. Click a class to see where the model saw it.")
        found = ", ".join(self._result.found)
        kind = _("Most probable: {found}.") if self._result.exclusive else _("Found: {found}.")
        return kind.format(found=found) + " " + _("Click a class to see where the model saw it.")

    def _onClass(self, label: str) -> None:
        """Show a class's heatmap, made first where it isn't there."""
        self.tell("")
        method, layer = self.choice.method, self.choice.layer
        maps = [one for one in scene.shown_heatmaps(self.node) if one.label == label]
        there = [one for one in maps if (one.method, one.layer) in ((method, layer), ("patches", ""))]
        if there:
            scene.lay_over(slicer.mrmlScene, there[0].node, self.ui.overlayOpacitySlider.value)
        elif not self._isComing(self.node, label, method, layer):
            try:
                self._explain(self.node, label, method, layer)
            except DeepImagingError as error:
                self.tell(str(error))
        self._update()

    def _showSlices(self) -> None:
        slices = self._result.slices if self._result is not None else None
        self.ui.slicesWidget.visible = slices is not None and bool(self._bars.current)
        if slices is None or not self._bars.current:
            return
        values = self._of(self._bars.current)
        number = self._result.labels.index(self._bars.current)
        self._plot.showValues(values.tolist(), None if self._result.exclusive else self._result.thresholds[number])
        text = _("{label} over the slices, highest in slice {number} ({value:.2f}):")
        highest = int(np.nanargmax(values))
        self.ui.slicesLabel.text = text.format(label=self._bars.current, number=highest, value=values[highest])
        self.ui.chartButton.visible = slicer.app.layoutManager() is not None

    def _of(self, label: str) -> Any:
        return self._result.slices[:, self._result.labels.index(label)]

    def _goToHighest(self) -> None:
        self._goTo(int(np.nanargmax(self._of(self._bars.current))))

    def _goTo(self, number: int) -> None:
        try:
            scene.jump_to_slice(scene.image_of(self.node), number)
            self._plot.mark(number)
        except DeepImagingError as error:
            self.tell(str(error))

    def _showChart(self) -> None:
        """Show the plot of all classes in a plot view."""
        chart = next((node for node in part_nodes(self.node) if node.IsA("vtkMRMLPlotChartNode")), None)
        if chart is not None:
            slicer.modules.plots.logic().ShowChartInLayout(chart)
