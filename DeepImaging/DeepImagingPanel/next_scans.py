"""The scans nobody has outlined yet: the model outlines one, somebody mends it, and training learns from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import CancelledError
from DeepImagingLib.hosts import EntropyJob, Handle
from DeepImagingLib.options import Options
from DeepImagingPanel import runner
from DeepImagingPanel.logic import PanelLogic
from DeepImagingPanel.scene_run import SceneRun

UNKNOWN = "–"


def _key(scan: Any, model: str) -> tuple[int, str]:
    """Return what an entropy is known by: the voxels' time stamp, which no others ever have, and the model."""
    image = scan.GetImageData()
    voxels = image.GetPointData().GetScalars() if image is not None else None
    return (voxels.GetMTime() if voxels is not None else 0), model


def _unsure(entropy: float | None) -> str:
    if entropy is None:
        return UNKNOWN
    return _("finds nothing") if math.isinf(entropy) else f"{100 * entropy:.0f} %"


class NextScans:
    """Drives the table of scans without outlines, those the model is least sure of first.

    Args:
        ui: The panel's widgets.
        chosen: Gives model and device to work with; "" where there is no model.
        added: Called when there is one more to learn from.
    """

    def __init__(self, ui: Any, chosen: Callable[[], tuple[str, str]], added: Callable[[], None]) -> None:
        self.ui, self._chosen, self._added = ui, chosen, added
        self.logic = PanelLogic()
        self._rows: list[tuple[Any, Any]] = []
        self._entropies: dict[tuple[int, str], float] = {}
        self._waiting: list[Any] = []
        self._measuring: Handle | None = None
        self._run: SceneRun | None = None
        self._problem = ""
        table = ui.nextTable
        table.setHorizontalHeaderLabels([_("Scan"), _("Unsure"), _("Outline")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.verticalHeader().hide()
        table.connect("itemSelectionChanged()", self._onSelected)
        ui.rankButton.connect("clicked()", self.onRank)
        ui.outlineButton.connect("clicked()", self.onOutline)
        ui.mendButton.connect("clicked()", self.onMend)
        ui.addButton.connect("clicked()", self.onAdd)

    @property
    def selected(self) -> tuple[Any, Any]:
        """The volume that is selected and what was outlined in it; None each where there is nothing."""
        row = self.ui.nextTable.currentRow()
        return self._rows[row] if 0 <= row < len(self._rows) else (None, None)

    def lookAtScene(self) -> None:
        """Show the scans of the scene that have no outline to learn from, the least sure first."""
        model, _device = self._chosen()
        volume, _outline = self.selected
        rows = scene.drafts(slicer.mrmlScene)
        rows.sort(key=lambda row: -self._entropies.get(_key(row[0], model), -1.0))
        self._rows = rows
        table = self.ui.nextTable
        table.blockSignals(True)
        table.setRowCount(len(rows))
        for row, (scan, outline) in enumerate(rows):
            unsure = _unsure(self._entropies.get(_key(scan, model)))
            texts = (scan.GetName(), unsure, outline.GetName() if outline is not None else UNKNOWN)
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                item.setToolTip(text)
                table.setItem(row, column, item)
        volumes = [scan for scan, _outline in rows]
        if rows:
            table.selectRow(volumes.index(volume) if volume in volumes else 0)
        table.blockSignals(False)
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done."""
        ui, (volume, outline), (model, _device) = self.ui, self.selected, self._chosen()
        busy = self._measuring is not None
        idle = self._run is None or self._run.done
        ui.rankButton.text = _("Stop") if busy else _("Rank b&y use")
        ui.rankButton.enabled = busy or bool(model and self._rows)
        ui.outlineButton.enabled = bool(model) and volume is not None and idle and not busy
        ui.mendButton.enabled = ui.addButton.enabled = outline is not None and idle
        ui.nextLabel.text = self._said()
        ui.nextLabel.visible = bool(ui.nextLabel.text)

    def _said(self) -> str:
        if self._measuring is not None:
            return _("Looking at {name} …").format(name=self._waiting[0].GetName())
        if self._run is not None and not self._run.done:
            return _("Outlining {name} …").format(name=self._run.name)
        if self._problem:
            return self._problem
        if not self._chosen()[0]:
            return _("Choose a model to begin with: it outlines what you then only mend.")
        return "" if self._rows else _("Each scan of the scene has an outline to learn from.")

    # --- what the user does ---

    def onRank(self) -> None:
        """Measure how unsure the model is of each scan, one after the other; or stop that."""
        if self._measuring is not None:
            self._waiting = self._waiting[:1]
            self._measuring.cancel()
            return
        model, _device = self._chosen()
        self._waiting = [scan for scan, _outline in self._rows if _key(scan, model) not in self._entropies]
        self._problem = ""
        self._measureNext()

    def onOutline(self) -> None:
        """Run the model on the scan that is selected."""
        (volume, _outline), (model, device) = self.selected, self._chosen()
        self._problem = ""
        runner.current().listen(self._onRun)
        self._run = self.logic.start(volume, model, device=device)
        self.refresh()

    def onMend(self) -> None:
        """Open Segment Editor on what was outlined."""
        volume, outline = self.selected
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(outline)
        editor.setSourceVolumeNode(volume)

    def onAdd(self) -> None:
        """Learn from what was outlined and mended."""
        scene.learn_from(self.selected[1])
        self.lookAtScene()
        self._added()

    def stop(self) -> None:
        """Let go of what goes on."""
        runner.unlisten(self._onRun)
        measuring, self._measuring = self._measuring, None
        if measuring is not None:
            measuring.cancel()

    # --- what comes back ---

    def _measureNext(self) -> None:
        self._waiting = [scan for scan in self._waiting if scan.GetScene() is not None]
        self._measuring = None
        if self._waiting:
            model, device = self._chosen()
            scan = self._waiting[0]
            key = _key(scan, model)
            self._measuring = runner.current().do(
                lambda: EntropyJob(model, scene.voxels(scan), Options(device=device)),
                lambda handle: self._onMeasured(handle, scan, key),
            )
        self.refresh()

    def _onMeasured(self, handle: Handle, scan: Any, key: tuple[int, str]) -> None:
        if not handle.done or self._measuring is None:
            return
        if handle.error is None:
            self._entropies[key] = handle.result()
        elif not isinstance(handle.error, CancelledError):
            self._problem = f"{self._problem}\n{scan.GetName()}: {handle.error}".strip()
        self._waiting = self._waiting[1:]
        self._measureNext()
        self.lookAtScene()

    def _onRun(self) -> None:
        if self._run is not None and self._run.done:
            runner.unlisten(self._onRun)
            self._problem = str(self._run.error or "")
            self.lookAtScene()

    def _onSelected(self) -> None:
        volume, _outline = self.selected
        if volume is not None:
            slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.refresh()
