"""How heatmaps are to be made: the method, and the layer of the network that some look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib.options import METHODS

LOOKS_AT_LAYER = ("gradcam", "gradcam++")


def methodNames() -> dict[str, str]:
    """Return what a user calls the methods."""
    return {
        "gradcam": _("Grad-CAM"),
        "gradcam++": _("Grad-CAM++"),
        "integrated_gradients": _("Integrated gradients"),
        "occlusion": _("Occlusion"),
    }


class HeatmapChoice:
    """Keeps two combo boxes: that of the layers has no more than the last one until others are known."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._layers: tuple[str, ...] = ()
        for name in METHODS:
            ui.methodSelector.addItem(methodNames().get(name, name))
        self._fill()
        ui.methodSelector.connect("currentIndexChanged(int)", self._show)
        self._show()

    @property
    def method(self) -> str:
        """One of `METHODS`."""
        return METHODS[max(self._ui.methodSelector.currentIndex, 0)]

    @property
    def layer(self) -> str:
        """Of the network; "" for the last one that knows places, and where the method looks at none."""
        index = self._ui.layerSelector.currentIndex
        return self._layers[index - 1] if index > 0 and self.method in LOOKS_AT_LAYER else ""

    def setLayers(self, layers: Sequence[str]) -> None:
        """Offer these layers."""
        if tuple(layers) != self._layers:
            self._layers = tuple(layers)
            self._fill()

    def _fill(self) -> None:
        self._ui.layerSelector.clear()
        for text in (_("Automatic (the last)"), *self._layers):
            self._ui.layerSelector.addItem(text)

    def _show(self, index: int = 0) -> None:
        self._ui.layerSelector.enabled = self._ui.layerLabel.enabled = self.method in LOOKS_AT_LAYER
