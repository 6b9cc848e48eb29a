"""The module `qt`: Qt's classes under one roof, as PythonQt has them."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from Testing.panels.standins import dialogs
from Testing.panels.standins.properties import flatEnums, standIn
from Testing.panels.standins.ui_loader import QUiLoader

# These return several values in PySide and one in PythonQt, and panels here have no need of them.
UNKNOWN = {"QInputDialog"}


class QtModule(types.ModuleType):
    """Makes a stand-in when it is first asked for; what Qt doesn't have is an AttributeError."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("Q") or name in UNKNOWN:
            raise AttributeError(f"the stand-in for qt does not know {name!r}")
        found = next((getattr(m, name) for m in (QtCore, QtGui, QtWidgets) if hasattr(m, name)), None)
        if found is None:
            raise AttributeError(f"Qt has no {name!r}")
        if isinstance(found, type) and issubclass(found, QtCore.QObject):
            found = dialogs.guarded(standIn(found))
        setattr(self, name, found)
        return found


def makeModule() -> QtModule:
    """Return the module."""
    module = QtModule("qt", "Qt as PythonQt shows it, over PySide6.")
    module.Qt = types.SimpleNamespace(**flatEnums(QtCore.Qt))  # no `qt.Qt.AlignmentFlag.AlignLeft`
    module.QUiLoader = QUiLoader
    return module
