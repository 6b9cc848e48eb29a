"""A button that makes a picture of the slice which a view shows, for models that look at pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import DeepImagingError


class SliceChoice:
    """Belongs to the row of the volume.

    Args:
        ui: The panel's named widgets.
        volume: Returns the volume that is chosen.
        take: Called with the new volume node, of one slice.
        say: Shows one sentence of what went wrong.
    """

    def __init__(
        self, ui: Any, volume: Callable[[], Any], take: Callable[[Any], None], say: Callable[[str], None]
    ) -> None:
        self._volume, self._take, self._say = volume, take, say
        self.button = qt.QPushButton(_("&Slice as it is shown"))
        self.button.objectName = "shownSliceButton"
        self.button.toolTip = _("Make a picture of the slice that a view shows, with its field of view, and choose it.")
        self._menu = qt.QMenu(self.button)
        self._menu.connect("aboutToShow()", self._offer)
        self.button.setMenu(self._menu)
        ui.inputsForm.addRow("", self.button)

    def refresh(self) -> None:
        """Offer it where there is a volume of several slices."""
        volume = self._volume()
        image = volume.GetImageData() if volume is not None else None
        self.button.visible = image is not None and min(image.GetDimensions()) > 1

    def _offer(self) -> None:
        """List the views there are."""
        self._menu.clear()
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            action = qt.QAction(node.GetLayoutName(), self._menu)
            action.connect("triggered()", lambda node=node: self.choose(node))
            self._menu.addAction(action)

    def choose(self, view: Any) -> None:
        """Make a volume of what a view shows, or say why that can't be done."""
        try:
            self._take(scene.add_shown_slice(self._volume(), view))
            self._say("")
        except DeepImagingError as error:
            self._say(str(error))
