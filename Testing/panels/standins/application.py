"""What `slicer.app` has in Slicer by being a QApplication, and the manager of the modules."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from PySide6 import QtCore

from Testing.panels.standins.properties import adopt, strict

# The methods and signals of QApplication that panels use through slicer.app.
OF_QT = (
    "activeModalWidget clipboard font keyboardModifiers palette processEvents primaryScreen "
    "restoreOverrideCursor setOverrideCursor style topLevelWidgets"
)


@strict
class ModuleManager(qt.QObject):
    """Finds loaded modules; announces the end of one."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)
    _modules: Any = None

    def __init__(self) -> None:
        super().__init__()
        self._modules = {}

    def module(self, name: str) -> Any:
        """Return a module that was added, or None."""
        return self._modules.get(name)

    def add(self, module: Any) -> None:
        """Make a module known."""
        self._modules[module.name] = module
        self.moduleLoaded.emit(module.name)

    def modulesNames(self) -> list[str]:
        """Return the names of the modules."""
        return list(self._modules)


@strict
class SlicerApplication(qt.QApplication):
    """Tells when all modules are loaded: a test that wants to get there emits it."""

    startupCompleted = QtCore.Signal()


@strict
class OwnSignals(qt.QObject):
    """What Slicer's application announces beside a QApplication."""

    startupCompleted = QtCore.Signal()


def extend(application: Any) -> None:
    """Give the application that holds the scene what it takes from Qt."""
    qApplication = adopt(QtCore.QCoreApplication.instance()) or SlicerApplication(["panels"])
    _keepSettingsApart(qApplication)
    for name in OF_QT.split():
        setattr(application, name, getattr(qApplication, name))
    manager, settings, ownSignals = ModuleManager(), qt.QSettings(), OwnSignals()
    for name in ("connect", "disconnect"):
        setattr(application, name, _either(ownSignals, qApplication, name))
    application.startupCompleted = ownSignals.startupCompleted
    application.qApplication = qApplication  # keeps it alive
    application.moduleManager = lambda: manager
    application.settings = application.userSettings = lambda: settings
    application.applicationVersion, application.majorVersion, application.minorVersion = "5.13.0", 5, 13
    application.commandOptions = lambda: None


def _either(ownSignals: Any, qApplication: Any, name: str) -> Callable[[str, Any], bool]:
    """Return `connect` or `disconnect` of the application, which has its own signals and Qt's."""

    def method(signal: str, slot: Any) -> bool:
        owner = ownSignals if hasattr(ownSignals, signal.split("(")[0]) else qApplication
        return bool(getattr(owner, name)(signal, slot))

    return method


def _keepSettingsApart(qApplication: Any) -> None:
    """Write settings into a folder of this process, never the user's."""
    folder = Path(tempfile.mkdtemp(prefix="panel-settings-"))
    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    for scope in (qt.QSettings.UserScope, qt.QSettings.SystemScope):
        qt.QSettings.setPath(qt.QSettings.IniFormat, scope, str(folder))
    qApplication.organizationName = qApplication.applicationName = "DeepImagingPanels"
