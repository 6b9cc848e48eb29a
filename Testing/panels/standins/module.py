"""Slicer's side of a scripted module: what `slicer.modules.<name>` is, and the widget its panel is built in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import qt
import slicer

from Testing.panels.standins.mrml_widgets import qMRMLWidget
from Testing.panels.standins.properties import strict


@strict
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The widget that a panel fills."""

    _module: Any = None
    _self: Any = None

    def self(self) -> Any:
        """Return the instance of the module's Widget class."""
        return self._self

    def reload(self) -> None:
        """Build the panel, from the Widget class as it is now."""
        name = self._module.name
        if self.layout() is None:
            self.setLayout(qt.QVBoxLayout())
        self._self = getattr(sys.modules[name], f"{name}Widget")(self)
        setattr(slicer.modules, f"{name}Widget", self._self)
        self._self.setup()

    def enter(self) -> None:
        """Tell the panel that the user comes."""
        self._self.enter()

    def exit(self) -> None:
        """Tell the panel that the user goes."""
        self._self.exit()


class SlicerModule:
    """qSlicerScriptedLoadableModule: what a module's class fills in."""

    title = helpText = acknowledgementText = ""
    categories: Any = ()
    dependencies: Any = ()
    contributors: Any = ()
    associatedNodeTypes: Any = ()
    hidden = False
    widgetRepresentationCreationEnabled = True
    index = -1
    icon: Any = None
    path = name = ""
    _widget: Any = None

    def __init__(self, path: Path) -> None:
        self.path, self.name = str(path), path.stem

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name):
            raise AttributeError(f"a module has no property {name!r}")
        super().__setattr__(name, value)

    def logic(self) -> None:
        """Return None: a scripted module's logic is made by its panel."""

    def widgetRepresentation(self) -> Any:
        """Return the widget with the panel, built at the first call: first set up, then given the scene."""
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget()
            self._widget._module = self
            self._widget.objectName = f"{self.name}ModuleWidget"
            self._widget.reload()
            self._widget.setMRMLScene(slicer.mrmlScene)
        return self._widget
