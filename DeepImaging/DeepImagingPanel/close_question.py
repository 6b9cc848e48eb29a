"""Asks before a window is closed on work that goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


class CloseQuestion(qt.QWidget):
    """Asks before a window is closed while a model is being trained.

    Args:
        window: To watch, such as Slicer's main window.
        isTraining: Tells whether there is anything to ask for.
    """

    def __init__(self, window: Any, isTraining: Callable[[], bool]) -> None:
        qt.QWidget.__init__(self)
        self._window, self._isTraining = window, isTraining
        window.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Let all events pass but for a close that the user doesn't want."""
        if event.type() != qt.QEvent.Close or not self._isTraining():
            return False
        question = _(
            "A model is being trained. Close all the same? Its last checkpoint is kept: enter the same name again to "
            "go on, or to keep the best so far."
        )
        if slicer.util.confirmYesNoDisplay(question):
            return False
        event.ignore()
        return True

    def stop(self) -> None:
        """Watch no longer."""
        self._window.removeEventFilter(self)
