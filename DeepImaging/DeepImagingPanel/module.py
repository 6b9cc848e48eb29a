"""What all modules of this extension say of themselves in the same way."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from DeepImagingPanel import sample

HOME = "https://github.com/DeepImaging/SlicerDeepImaging"


class PanelModule(ScriptedLoadableModule):
    """A module of the category Deep Imaging; its own class adds title and help."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = self.moduleName
        parent.categories = [translate("qSlicerAbstractCoreModule", "Deep Imaging")]
        parent.contributors = ["The DeepImaging contributors"]
        parent.acknowledgementText = _("Built on MONAI (Apache-2.0), PyTorch and 3D Slicer. Not for clinical use.")
        slicer.app.connect("startupCompleted()", sample.register)

    def setHelp(self, text: str) -> None:
        """Set the help text, with a link to the manual below it."""
        link = _('See the <a href="{url}">manual</a>.').format(url=f"{HOME}#{self.moduleName}")
        self.parent.helpText = f"{text}<p>{link}</p>"
