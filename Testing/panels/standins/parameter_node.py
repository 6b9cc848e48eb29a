"""Stands in for `slicer.parameterNodeWrapper`: typed attributes over a parameter node, tied to a panel's widgets."""

from __future__ import annotations

import typing
from typing import Any

import qt
import slicer
import vtk

from Testing.panels.standins.parameter_checks import (
    Choice,
    Decimals,
    Default,
    Maximum,
    Minimum,
    SingleStep,
    Validator,
    WithinRange,
    first,
)
from Testing.panels.standins.parameter_values import Kind, kindOf
from Testing.panels.standins.parameter_widgets import Connector, connector

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Maximum",
    "Minimum",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"


class Parameter:
    """One parameter of a wrapper class: a descriptor that reads from and writes to the wrapped node."""

    def __init__(self, name: str, datatype: Any, default: Default | None) -> None:
        self.name, self.datatype = name, datatype
        self.kind: Kind = kindOf(datatype)
        self.default = default or first(datatype, Default) or Default(generator=self.kind.default)

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        if wrapper is None:
            return self
        name = wrapper._prefix + self.name
        if not self.kind.has(wrapper.parameterNode, name):
            self.__set__(wrapper, self.default.value)
        return self.kind.read(wrapper.parameterNode, name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        self.kind.check(value)
        with slicer.util.NodeModify(wrapper.parameterNode):
            self.kind.write(wrapper.parameterNode, wrapper._prefix + self.name, value)


class Wrapper:
    """What the decorator adds to a class of parameters."""

    allParameters: typing.ClassVar[dict[str, Parameter]] = {}

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._guis: dict[int, tuple[dict[str, Connector], int]] = {}
        self._nextTag = 0
        self._showing = False
        for name in self.allParameters:
            getattr(self, name)  # writes the defaults

    @classmethod
    def _parameter(cls, name: str) -> Parameter:
        if name not in cls.allParameters:
            raise ValueError(f"there is no parameter {name!r}; there are {', '.join(cls.allParameters)}")
        return cls.allParameters[name]

    def getValue(self, name: str) -> Any:
        """Return a parameter's value."""
        return self._parameter(name).__get__(self)

    def setValue(self, name: str, value: Any) -> None:
        """Set a parameter's value."""
        self._parameter(name).__set__(self, value)

    def default(self, name: str) -> Default:
        """Return a parameter's default."""
        return self._parameter(name).default

    @classmethod
    def dataType(cls, name: str) -> Any:
        """Return a parameter's type, with its annotations."""
        return cls._parameter(name).datatype

    def connectGui(self, gui: Any) -> int:
        """Tie the widgets below `gui` that have the property SlicerParameterName; returns a tag to untie them."""
        widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "isWidgetType") else vars(gui).values()
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Tie parameters, by name, to widgets; returns a tag to untie them."""
        connectors = {name: connector(widget, self.dataType(name)) for name, widget in mapping.items()}
        for name, one in connectors.items():
            one.write(self.getValue(name))
            one.onChanged(self._reader(name, one))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show(connectors))
        self._nextTag += 1
        self._guis[self._nextTag] = connectors, observer
        return self._nextTag

    def disconnectGui(self, tag: int) -> None:
        """Untie what was tied under a tag."""
        connectors, observer = self._guis.pop(tag, ({}, None))
        for one in connectors.values():
            one.onChanged(None)
        if observer is not None:
            self.RemoveObserver(observer)

    def _reader(self, name: str, one: Connector) -> Any:
        def read() -> None:
            if not self._showing:
                self.setValue(name, one.read())

        return read

    def _show(self, connectors: dict[str, Connector]) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            for name, one in connectors.items():
                one.write(self.getValue(name))
        finally:
            self._showing = False

    def StartModify(self) -> Any:
        """Hold back the node's events."""
        return self.parameterNode.StartModify()

    def EndModify(self, wasModifying: Any) -> Any:
        """Let them go."""
        return self.parameterNode.EndModify(wasModifying)

    def Modified(self) -> None:
        """Send the node's event."""
        self.parameterNode.Modified()

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> Any:
        """Observe the node."""
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: Any) -> None:
        """Stop observing."""
        self.parameterNode.RemoveObserver(tag)


def parameterNodeWrapper(classtype: Any = None) -> Any:
    """Make a class of annotated parameters a wrapper of a parameter node; used as a decorator."""
    if classtype is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(classtype, include_extras=True)
    given = vars(classtype)
    parameters = {
        name: Parameter(name, hint, Default(given[name]) if name in given else None) for name, hint in hints.items()
    }
    if taken := [name for name in [*parameters, *given] if not name.startswith("_") and hasattr(Wrapper, name)]:
        raise ValueError(f"a parameter node wrapper has its own {', '.join(taken)}: choose other names")
    return type(
        classtype.__name__,
        (classtype, Wrapper),
        {"__init__": Wrapper.__init__, "allParameters": parameters, **parameters},
    )


def isParameterNodeWrapper(classOrObject: Any) -> bool:
    """Tell whether a class, or an object's class, was made by the decorator."""
    kind = classOrObject if isinstance(classOrObject, type) else type(classOrObject)
    return issubclass(kind, Wrapper)
