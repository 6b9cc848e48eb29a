"""A result's probability volumes or heatmaps: the one that is chosen lies over the scan in the slice views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.scene.scales import SCALE_ATTRIBUTE
from DeepImagingPanel.layouts import loadInto
from DeepImagingPanel.quietly import setQuietly


class OverlayView:
    """Lists them in a combo box, with the ways to look through them; seen where there are any.

    Args:
        ui: The named widgets of a content that has an `overlayPlace`.
        chosen: Called when the user has chosen another one.
    """

    def __init__(self, ui: Any, chosen: Callable[[], None] = lambda: None) -> None:
        loadInto(ui, ui.overlayPlace, "OverlayContent.ui")
        self._ui = ui
        self._chosen = chosen
        self._listed: list[tuple[str, str]] = []
        ui.overlaySelector.connect("activated(int)", self._choose)
        ui.overlayOpacitySlider.connect("valueChanged(double)", self._setOpacity)
        ui.overlayFromSlider.connect("valueChanged(double)", self._setFrom)
        ui.overlayFitButton.connect("clicked()", self._fit)

    @property
    def current(self) -> Any:
        """The volume that lies over the scan; None where it is none of the result's."""
        index = self._ui.overlaySelector.currentIndex
        return slicer.mrmlScene.GetNodeByID(self._listed[index - 1][0]) if index > 0 else None

    def show(self, node: Any) -> None:
        """List the volumes of a result's node, or none."""
        volumes = scene.probability_volumes(node) if node is not None else []
        listed = [(volume.GetID(), volume.GetName()) for volume in volumes]  # no nodes: these would keep their voxels
        selector = self._ui.overlaySelector
        if listed != self._listed:
            self._listed = listed
            selector.clear()
            for text in (_("None"), *(name for _id, name in listed)):
                selector.addItem(text)
        seen = {view.GetForegroundVolumeID() for view in scene.slice_composites(slicer.mrmlScene)}
        shown = [index for index, (nodeID, _name) in enumerate(listed, 1) if nodeID in seen]
        selector.currentIndex = shown[0] if shown else 0
        self._showControls()

    def _showControls(self) -> None:
        ui, volume = self._ui, self.current
        ui.overlayLabel.visible = ui.overlaySelector.visible = bool(self._listed)
        for widget in (ui.overlayOpacityLabel, ui.overlayOpacitySlider, ui.overlayFromLabel, ui.overlayFromSlider):
            widget.visible = volume is not None
        isHeatmap = volume is not None and volume.GetAttribute(SCALE_ATTRIBUTE) is not None
        for widget in (ui.overlayScaleLabel, ui.overlayScaleText, ui.overlayFitButton):
            widget.visible = isHeatmap
        if volume is not None:
            views = scene.slice_composites(slicer.mrmlScene)
            opacities = [v.GetForegroundOpacity() for v in views if v.GetForegroundVolumeID() == volume.GetID()]
            setQuietly(ui.overlayOpacitySlider, "value", opacities[0] if opacities else ui.overlayOpacitySlider.value)
            setQuietly(ui.overlayFromSlider, "value", scene.seen_from(volume))
            ui.overlayScaleText.text = _("0 to {scale:.3g}").format(scale=scene.scale_of(volume))

    def _choose(self, index: int) -> None:
        self._ui.overlaySelector.currentIndex = index
        scene.lay_over(slicer.mrmlScene, self.current, self._ui.overlayOpacitySlider.value)
        self._showControls()
        self._chosen()

    def _setOpacity(self, value: float) -> None:
        scene.lay_over(slicer.mrmlScene, self.current, value)

    def _setFrom(self, value: float) -> None:
        scene.see_from(self.current, value)

    def _fit(self) -> None:
        scene.fit_scale(self.current)
        self._showControls()
