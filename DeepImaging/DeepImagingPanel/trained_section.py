"""What a training left: how good it is, its best and worst case, and where the new model goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib.hosts import Handle
from DeepImagingLib.hosts.errands import AddModel, ExportModel
from DeepImagingLib.hosts.training import EXAMPLES, Trained
from DeepImagingPanel import runner
from DeepImagingPanel.training_under_way import PURPOSE

PICTURE_WIDTH, LEAST_WIDTH = 600, 220


class TrainedSection:
    """Shows the model of the last training, and uses or exports it.

    Args:
        ui: The panel's widgets.
        say: Shows a sentence.
        added: Called when it is in the list of models with its name, or with "" where it couldn't be put there.

    Attributes:
        trained: The last one.
    """

    def __init__(self, ui: Any, say: Callable[[str], None], added: Callable[[str], None]) -> None:
        self._ui, self._say, self._added = ui, say, added
        self.trained: Trained | None = None
        ui.useButton.connect("clicked()", self.use)
        ui.exportButton.connect("clicked()", self.export)

    def show(self, trained: Trained) -> None:
        """Show another."""
        self.trained, ui = trained, self._ui
        ui.resultCollapsibleButton.collapsed = False
        ui.resultLabel.text = _("{name}: mean Dice {dice:.2f} on the scans that were kept back.").format(
            name=trained.bundle.name, dice=trained.dice
        )
        picture = qt.QPixmap(str(trained.bundle / EXAMPLES))
        ui.examplesLabel.visible = not picture.isNull()
        if not picture.isNull():
            wide = max(LEAST_WIDTH, min(PICTURE_WIDTH, ui.resultLabel.width))
            ui.examplesLabel.setPixmap(picture.scaledToWidth(wide, qt.Qt.SmoothTransformation))

    def use(self) -> None:
        """Put the model into the list of models."""
        runner.current(PURPOSE).do(AddModel(self.trained.bundle), self._onAdded)

    def export(self) -> None:
        """Write the model as an archive."""
        bundle = self.trained.bundle
        title = _("Export the model")
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, f"{bundle.name}.zip", "Zip (*.zip)")
        if path:
            runner.current(PURPOSE).do(ExportModel(bundle, Path(path)), self._onExported)

    def _onAdded(self, handle: Handle) -> None:
        if handle.done:
            self._say(str(handle.error or _("The model is in the list of models now.")))
            self._added(handle.result().name if handle.error is None else "")

    def _onExported(self, handle: Handle) -> None:
        if handle.done:
            self._say(str(handle.error or _("The model was written.")))
