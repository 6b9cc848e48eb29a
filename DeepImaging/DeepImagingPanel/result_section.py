"""What a panel shows of a result: its segments, its surfaces, where it comes from, and the way out of the scene."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import DeepImagingError
from DeepImagingPanel import stored_result as stored
from DeepImagingPanel.probability_view import ProbabilityView
from DeepImagingPanel.provenance_view import ProvenanceView
from DeepImagingPanel.result_files import fileKinds, save
from DeepImagingPanel.segment_table import SegmentTable
from DeepImagingPanel.surface_maker import SurfaceMaker

LAYOUT = Path(__file__).parent / "UI" / "ResultSection.ui"
ICON_PIXELS = 20


class ResultSection(qt.QWidget):
    """Follows one segmentation node, whoever changes it; grey without one.

    Call `clear()` before the widget goes, as its panel does in `cleanup()`.

    Attributes:
        node: The segmentation node that is shown, or None.
        onRemoved: Called after "Remove result"; None where nobody wants to know.
        askPath: Asks where to save, as qt.QFileDialog.getSaveFileName does.

    Example:
        >>> section = ResultSection()  # doctest: +SKIP
        >>> section.setResult(node, outcome)  # doctest: +SKIP
    """

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.node: Any = None
        self.onRemoved: Callable[[], None] | None = None
        self.askPath = qt.QFileDialog.getSaveFileName
        self._observations = slicer.util.VTKObservationMixin()
        widget = slicer.util.loadUI(str(LAYOUT))
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        self._table = SegmentTable(self.ui.segmentsView)
        self._probabilities = ProbabilityView(self.ui.overlayLabel, self.ui.overlaySelector)
        self._provenance = ProvenanceView(self.ui.provenanceTree)
        self._surfaces = SurfaceMaker(self._onSurface, self._onSurfacesEnd)
        self._soon = qt.QTimer()  # many changes at once are one look at the node
        self._soon.setSingleShot(True)
        self._soon.connect("timeout()", self._update)
        self._setUpIcons()
        self._setUpExport()
        self._connect()
        self.clear()

    def setResult(self, segmentationNode: Any, outcome: Any) -> None:
        """Show what a run gave, and keep its measures with the node.

        Args:
            segmentationNode: The vtkMRMLSegmentationNode that `scene.show` made of it.
            outcome: The run's `Outcome`.
        """
        stored.storeMeasures(segmentationNode, outcome.measures)
        self.setNode(segmentationNode)

    def setNode(self, segmentationNode: Any) -> None:
        """Show the result that is stored with a segmentation node, as in a scene that was opened again."""
        if segmentationNode is not self.node:
            self.clear()
            self.node = segmentationNode
            self._observe()
        self._update()

    def clear(self) -> None:
        """Show nothing, and let go of the node."""
        self._surfaces.stop()
        self._soon.stop()
        self._observations.removeObservers()
        self.node = None
        self._tell("")
        self._update()

    def _setUpIcons(self) -> None:
        for label, icon in (
            (self.ui.notesIcon, qt.QStyle.SP_MessageBoxWarning),
            (self.ui.messageIcon, qt.QStyle.SP_MessageBoxCritical),
        ):
            label.setPixmap(self.style().standardIcon(icon).pixmap(qt.QSize(ICON_PIXELS, ICON_PIXELS)))

    def _setUpExport(self) -> None:
        menu = qt.QMenu(self.ui.exportButton)
        for ending, kind in fileKinds().items():
            action = qt.QAction(f"{kind} ({ending})…", menu)
            action.connect("triggered()", lambda ending=ending: self._export(ending))
            menu.addAction(action)
        self.ui.exportButton.setMenu(menu)

    def _connect(self) -> None:
        self.ui.showEmptyCheckBox.connect("toggled(bool)", self._table.showEmpty)
        self.ui.copyButton.connect("clicked()", self._table.copy)
        self.ui.show3DCheckBox.connect("toggled(bool)", self._show3D)
        self.ui.smoothingSlider.connect("valueChanged(double)", self._onSmoothing)
        self.ui.opacitySlider.connect("valueChanged(double)", self._onOpacity)
        self.ui.copyProvenanceButton.connect("clicked()", self._provenance.copy)
        self.ui.removeButton.connect("clicked()", self._remove)

    def _observe(self) -> None:
        if self.node is None:
            return
        events = slicer.vtkSegmentation
        for observed, event, slot in (
            (self.node, vtk.vtkCommand.ModifiedEvent, self._onNodeModified),
            (self.node, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, self._onNodeModified),
            (self.node, events.SegmentModified, self._onNodeModified),
            (self.node, events.ContainedRepresentationNamesModified, self._onNodeModified),
            (self.node, events.SegmentAdded, self._onSegmentsChanged),
            (self.node, events.SegmentRemoved, self._onSegmentsChanged),
            (self.node, events.SourceRepresentationModified, self._onEdited),
            (self.node.GetScene(), slicer.vtkMRMLScene.NodeRemovedEvent, self._onGone),
        ):
            self._observations.addObserver(observed, event, slot)

    def _onNodeModified(self, caller: Any = None, event: str = "") -> None:
        self._soon.start(0)

    def _onSegmentsChanged(self, caller: Any = None, event: str = "") -> None:
        if self._surfaces.running:
            self._makeSurfaces()  # those made so far may be of other voxels
        self._soon.start(0)

    def _onEdited(self, caller: Any = None, event: str = "") -> None:
        if stored.measuresOf(self.node):
            stored.markEdited(self.node)
        self._onSegmentsChanged()

    def _onGone(self, caller: Any = None, event: str = "") -> None:
        if self.node is not None and self.node.GetScene() is None:
            self.clear()
        elif self.node is not None:
            self._soon.start(0)  # it may have been one of its volumes

    def _update(self) -> None:
        """Show everything as the node has it now."""
        node = self.node
        if node is not None:
            node.CreateDefaultDisplayNodes()  # where somebody removed it
        self.enabled = node is not None
        self._table.show(node)
        empty = self._table.emptySegments()
        self.ui.showEmptyCheckBox.visible = empty > 0
        self.ui.showEmptyCheckBox.text = _("Show empty ({number})").format(number=empty)
        self._probabilities.show(node)
        provenance = stored.provenanceOf(node) if node is not None else {}
        self._provenance.show(provenance)
        self.ui.provenanceButton.visible = bool(provenance)
        self._showNotes(provenance.get("notes", ()))
        self._show3DState()

    def _showNotes(self, notes: Any) -> None:
        told = list(notes)
        if self.node is not None and stored.isEdited(self.node):
            told.append(_("Segments were edited since the run; volumes and intensities are those of the run."))
        self.ui.notesLabel.text = "\n\n".join(told)
        self.ui.notesFrame.visible = bool(told)

    def _show3DState(self) -> None:
        shown = self._surfaces.running or (self._hasSurfaces() and bool(self._display().GetVisibility3D()))
        _setQuietly(self.ui.show3DCheckBox, "checked", shown)
        if not self._surfaces.running:
            self.ui.progressLabel.text = ""
        if self.node is not None:
            _setQuietly(self.ui.opacitySlider, "value", self._display().GetOpacity2DFill())
        if shown and not self._surfaces.running:
            _setQuietly(self.ui.smoothingSlider, "value", self._smoothingMade())

    def _show3D(self, on: bool) -> None:
        self._tell("")
        if on and not (self._hasSurfaces() and self._smoothingMade() == self.ui.smoothingSlider.value):
            self._makeSurfaces()
            return
        self._surfaces.stop()
        self._display().SetVisibility3D(on)
        self._update()

    def _onSmoothing(self, value: float) -> None:
        if self.ui.show3DCheckBox.checked:
            self._makeSurfaces()

    def _makeSurfaces(self) -> None:
        self.ui.progressLabel.text = _("Making surfaces…")
        self._surfaces.start(self.node, self.ui.smoothingSlider.value)

    def _onSurface(self, fraction: float) -> None:
        self.ui.progressLabel.text = _("Making surfaces… {percent} %").format(percent=round(100 * fraction))

    def _onSurfacesEnd(self, trouble: str) -> None:
        self._display().SetVisibility3D(not trouble)
        self._tell(trouble)
        self._update()

    def _hasSurfaces(self) -> bool:
        name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        return self.node is not None and bool(self.node.GetSegmentation().ContainsRepresentation(name))

    def _smoothingMade(self) -> float:
        name = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule.GetSmoothingFactorParameterName()
        return float(self.node.GetSegmentation().GetConversionParameter(name))

    def _onOpacity(self, value: float) -> None:
        self._display().SetOpacity2DFill(value)
        self._display().SetOpacity3D(value)

    def _display(self) -> Any:
        return self.node.GetDisplayNode()

    def _remove(self) -> None:
        node = self.node
        self.clear()
        stored.forgetMeasures(node)
        scene.remove(node)
        if self.onRemoved is not None:
            self.onRemoved()

    def _export(self, ending: str) -> None:
        self._tell("")
        title, filters = _("Save result"), f"{fileKinds()[ending]} (*{ending})"
        chosen = self.askPath(self, title, f"{self.node.GetName()}{ending}", filters)
        if not chosen:
            return
        try:
            save(self.node, chosen, ending)
        except (DeepImagingError, OSError) as error:
            logging.getLogger(__name__).info("Saving a result failed.", exc_info=True)
            self._tell(str(error))

    def _tell(self, trouble: str) -> None:
        self.ui.messageLabel.text = trouble
        self.ui.messageFrame.visible = bool(trouble)


def _setQuietly(widget: Any, name: str, value: Any) -> None:
    """Set a widget's property without its signals: the change came from the scene."""
    blocked = widget.blockSignals(True)
    setattr(widget, name, value)
    widget.blockSignals(blocked)
