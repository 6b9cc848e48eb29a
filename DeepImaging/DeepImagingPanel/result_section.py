"""What a panel shows of a segmentation: its segments and its surfaces, beside what any result has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from DeepImagingPanel import stored_result as stored
from DeepImagingPanel.overlay_view import OverlayView
from DeepImagingPanel.quietly import setQuietly
from DeepImagingPanel.result_files import fileKinds, save
from DeepImagingPanel.result_frame import ResultFrame
from DeepImagingPanel.segment_table import SegmentTable
from DeepImagingPanel.surface_maker import SurfaceMaker


class ResultSection(ResultFrame):
    """Follows one segmentation node.

    Example:
        >>> section = ResultSection()  # doctest: +SKIP
        >>> section.setResult(node, outcome)  # doctest: +SKIP
    """

    content = "SegmentsContent.ui"

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._table = SegmentTable(self.ui.segmentsView)
        self._probabilities = OverlayView(self.ui)
        self._surfaces = SurfaceMaker(self._onSurface, self._onSurfacesEnd)
        self.ui.showEmptyCheckBox.connect("toggled(bool)", self._table.showEmpty)
        self.ui.copyButton.connect("clicked()", self._table.copy)
        self.ui.show3DCheckBox.connect("toggled(bool)", self._show3D)
        self.ui.smoothingSlider.connect("valueChanged(double)", self._onSmoothing)
        self.ui.opacitySlider.connect("valueChanged(double)", self._onOpacity)
        self.clear()

    def setResult(self, segmentationNode: Any, outcome: Any) -> None:
        """Show what a run gave, and keep its measures with the node.

        Args:
            segmentationNode: The vtkMRMLSegmentationNode that `scene.show` made of it.
            outcome: The run's `Outcome`.
        """
        stored.storeMeasures(segmentationNode, outcome.measures)
        self.setNode(segmentationNode)

    def fileKinds(self) -> dict[str, str]:
        """Return the files that a segmentation can be saved to."""
        return fileKinds()

    def save(self, chosen: str, ending: str) -> list[Path]:
        """Write the segmentation, its surfaces or its table."""
        return save(self.node, chosen, ending)

    def clear(self) -> None:
        """Show nothing, and let go of the node."""
        self._surfaces.stop()
        super().clear()

    def events(self, node: Any) -> Iterator[tuple[Any, Any, Callable[..., None]]]:
        """Yield what is to be observed: its display and its segments, too."""
        yield from super().events(node)
        events = slicer.vtkSegmentation
        yield node, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, self.onNodeModified
        yield node, events.SegmentModified, self.onNodeModified
        yield node, events.ContainedRepresentationNamesModified, self.onNodeModified
        yield node, events.SegmentAdded, self._onSegmentsChanged
        yield node, events.SegmentRemoved, self._onSegmentsChanged
        yield node, events.SourceRepresentationModified, self._onEdited

    def showContent(self) -> None:
        """Show segments, overlay and surfaces."""
        node = self.node
        if node is not None:
            node.CreateDefaultDisplayNodes()  # where somebody removed it
        self._table.show(node)
        empty = self._table.emptySegments()
        self.ui.showEmptyCheckBox.visible = empty > 0
        self.ui.showEmptyCheckBox.text = _("Show empty ({number})").format(number=empty)
        self._probabilities.show(node)
        self._show3DState()

    def notes(self) -> list[str]:
        """Tell where the measures are those of the run, and the segments are not."""
        edited = _("Segments were edited since the run; volumes and intensities are those of the run.")
        return [edited] if stored.isEdited(self.node) else []

    def aboutToRemove(self, node: Any) -> None:
        """Forget its measures."""
        stored.forgetMeasures(node)

    def _onSegmentsChanged(self, caller: Any = None, event: str = "") -> None:
        if self._surfaces.running:
            self._makeSurfaces()  # those made so far may be of other voxels
        self._soon.start(0)

    def _onEdited(self, caller: Any = None, event: str = "") -> None:
        if stored.measuresOf(self.node):
            stored.markEdited(self.node)
        self._onSegmentsChanged()

    def _show3DState(self) -> None:
        shown = self._surfaces.running or (self._hasSurfaces() and bool(self._display().GetVisibility3D()))
        setQuietly(self.ui.show3DCheckBox, "checked", shown)
        if not self._surfaces.running:
            self.ui.progressLabel.text = ""
        if self.node is not None:
            setQuietly(self.ui.opacitySlider, "value", self._display().GetOpacity2DFill())
        if shown and not self._surfaces.running:
            setQuietly(self.ui.smoothingSlider, "value", self._smoothingMade())

    def _show3D(self, on: bool) -> None:
        self.tell("")
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
        self.tell(trouble)
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
