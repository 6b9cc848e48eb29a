"""A result's probability volumes: the one that is chosen lies over the scan in the slice views."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from DeepImagingLib.scene import probability_volumes

OPACITY = 0.6


class ProbabilityView:
    """Lists them in a combo box, which is seen where there are any."""

    def __init__(self, label: Any, selector: Any) -> None:
        self._label = label
        self._selector = selector
        self._listed: list[tuple[str, str]] = []
        selector.connect("activated(int)", self._choose)

    def show(self, node: Any) -> None:
        """List the volumes of a segmentation node, or none."""
        volumes = probability_volumes(node) if node is not None else []
        listed = [(volume.GetID(), volume.GetName()) for volume in volumes]  # no nodes: these would keep their voxels
        self._label.visible = self._selector.visible = bool(listed)
        if listed != self._listed:
            self._listed = listed
            self._selector.clear()
            for text in (_("None"), *(name for _id, name in listed)):
                self._selector.addItem(text)
        seen = {view.GetForegroundVolumeID() for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}
        shown = [index for index, (nodeID, _name) in enumerate(listed, 1) if nodeID in seen]
        self._selector.currentIndex = shown[0] if shown else 0

    def _choose(self, index: int) -> None:
        nodeID = self._listed[index - 1][0] if index > 0 else None
        slicer.util.setSliceViewerLayers(foreground=nodeID, foregroundOpacity=OPACITY)
