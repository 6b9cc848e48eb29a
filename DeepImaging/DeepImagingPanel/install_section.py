"""Installing what is needed: there only while something is missing, and nothing happens before the click."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib.errors import DeepImagingError
from DeepImagingPanel import requirements
from DeepImagingPanel.installer import Installer, offlineCommand

log = logging.getLogger(__name__)


class InstallSection:
    """Says what is missing, installs it, and hides when nothing is.

    Attributes:
        needed: Whether something is missing, so that nothing can be run.
    """

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self.needed = False
        self._ui = ui
        self._changed = changed
        ui.installButton.connect("clicked()", lambda: self._install(None))
        ui.installFolderButton.connect("clicked()", self._installFromFolder)
        ui.installFolderButton.toolTip = _(
            "Install from a folder of packages. To fill one on a connected computer: {command}"
        ).format(command=offlineCommand())
        ui.installLog.visible = False
        self._say("")
        self.refresh()

    def refresh(self) -> None:
        """Look again at what is missing."""
        self._offer(Installer().plan() if requirements.missing() else None)

    def check(self) -> None:
        """Import what is there in a second process, and offer to repair what fails."""
        self._ui.installCollapsibleButton.visible = True
        self._say(_("Checking what is installed …"))
        self._enable(False)
        try:
            plan = Installer().plan(True)
        finally:
            self._enable(True)
        self._say("" if plan else _("Everything that is needed is installed and works."))
        self._offer(plan, keepOpen=True)

    def _offer(self, plan: Any, keepOpen: bool = False) -> None:
        ui = self._ui
        self.needed = bool(plan)
        for widget in (ui.installLabel, ui.installPlanLabel, ui.installButton, ui.installFolderButton):
            widget.visible = self.needed
        ui.installCollapsibleButton.visible = self.needed or keepOpen
        if plan:
            ui.installLabel.text = _(
                "Before the first run, these packages have to be installed into Slicer's own Python. "
                "The download has {size}; that may take some minutes."
            ).format(size=plan.size)
            ui.installPlanLabel.text = "\n".join(f"• {line}" for line in plan.lines())
        self._changed()

    def _installFromFolder(self) -> None:
        title = _("Folder of packages (wheels)")
        if folder := qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title):
            self._install(folder)

    def _install(self, folder: str | None) -> None:
        ui = self._ui
        ui.installLog.clear()
        ui.installLog.visible = True
        self._enable(False)
        self._say(_("Installing …"))
        try:
            Installer().install(self._line, folder)
            self._say("")
            ui.installLog.visible = False
        except DeepImagingError as error:
            log.info("installing failed", exc_info=True)
            self._say(str(error))
            ui.installButton.text = _("Try aga&in")
        finally:
            self._enable(True)
        self.refresh()

    def _enable(self, on: bool) -> None:
        """Let the buttons be clicked or not: while packages are checked or installed, Slicer goes on."""
        for button in (self._ui.installButton, self._ui.installFolderButton, self._ui.checkInstallationButton):
            button.enabled = on

    def _line(self, line: str) -> None:
        self._ui.installLog.appendPlainText(line)
        slicer.app.processEvents()

    def _say(self, text: str) -> None:
        self._ui.installMessage.text = text
        self._ui.installMessage.visible = bool(text)
