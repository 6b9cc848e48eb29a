"""Which widget shows which type of parameter, as in Slicer's own guiConnectors; the widget's class counts exactly."""

from __future__ import annotations

import abc
import enum
import types
import typing
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import ctk
import qt
import slicer

from Testing.panels.standins.parameter_checks import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    SingleStep,
    WithinRange,
    first,
    split,
)


class Connector(abc.ABC):
    """Reads and writes one widget; `signal` says when the user changed it."""

    signal: str | None

    def __init__(self, widget: Any, datatype: Any) -> None:
        self.widget, self.datatype = widget, datatype
        self._changed: Callable[[], None] | None = None

    def onChanged(self, changed: Callable[[], None] | None) -> None:
        """Call `changed` whenever the widget changes; None ends that."""
        if self.signal and self._changed:
            self.widget.disconnect(self.signal, self._tell)
        self._changed = changed
        if self.signal and changed:
            self.widget.connect(self.signal, self._tell)

    def _tell(self) -> None:
        if self._changed:
            self._changed()

    @abc.abstractmethod
    def read(self) -> Any:
        """Return the widget's value."""

    @abc.abstractmethod
    def write(self, value: Any) -> None:
        """Show a value."""


class Attribute(Connector):
    """A widget whose value is one property."""

    name = "text"

    def read(self) -> Any:
        """Return it."""
        return split(self.datatype)[0](getattr(self.widget, self.name))

    def write(self, value: Any) -> None:
        """Set it, unless it is that already: setting a text moves its cursor."""
        shown = str(value) if isinstance(value, PurePath) else value
        if getattr(self.widget, self.name) != shown:
            setattr(self.widget, self.name, shown)


class OfCheckBox(Attribute):
    """bool in a check box."""

    name, signal = "checked", "toggled(bool)"


class OfButton(OfCheckBox):
    """bool in a push button that stays down."""

    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__(widget, datatype)
        widget.checkable = True


class OfLineEdit(Attribute):
    """str in a line."""

    signal = "textChanged(QString)"


class OfLabel(Attribute):
    """str in a label, which no user changes."""

    signal = None


class OfPath(Attribute):
    """A path in CTK's line."""

    name, signal = "currentPath", "currentPathChanged(QString)"


class OfTextEdit(Connector):
    """str in many lines."""

    signal = "textChanged()"

    def read(self) -> Any:
        """Return the text."""
        return self.widget.toPlainText()

    def write(self, value: Any) -> None:
        """Show the text."""
        self.widget.setPlainText(value)


class OfNumber(Attribute):
    """int or float in a spin box or a slider, with the bounds that its annotations give."""

    name, signal = "value", "valueChanged(int)"
    lowest: Any = -(2**31)
    highest: Any = 2**31 - 1
    needsBounds: tuple[Any, ...] = (qt.QSlider,)

    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__(widget, datatype)
        within = first(datatype, WithinRange)
        low, high = within or first(datatype, Minimum), within or first(datatype, Maximum)
        if type(widget) in self.needsBounds and not (low and high):
            raise RuntimeError(f"{type(widget).__name__} needs a parameter with a least and a greatest value")
        if step := first(datatype, SingleStep):
            widget.singleStep = step.value
        widget.setRange(low.minimum if low else self.lowest, high.maximum if high else self.highest)


class OfFloat(OfNumber):
    """A number in a widget for floating-point numbers."""

    signal = "valueChanged(double)"
    lowest, highest = float("-inf"), float("inf")
    needsBounds = (ctk.ctkSliderWidget,)

    def __init__(self, widget: Any, datatype: Any) -> None:
        decimals = Decimals(0) if split(datatype)[0] is int else first(datatype, Decimals)
        if decimals:
            widget.decimals = decimals.value
        super().__init__(widget, datatype)


class OfChoice(Connector):
    """One of the annotation's choices, or of an enum's members, in a combo box that is filled with them."""

    signal = "currentIndexChanged(int)"

    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__(widget, datatype)
        plain, choice = split(datatype)[0], first(datatype, Choice)
        members = isinstance(plain, type) and issubclass(plain, enum.Enum)
        if not members and choice is None:
            raise RuntimeError("a combo box needs a parameter with the annotation Choice")
        self._choices = list(plain) if members else choice.choices
        label = getattr(plain, "label", lambda member: member.name) if members else str
        widget.clear()
        for one in self._choices:
            widget.addItem(label(one))

    def read(self) -> Any:
        """Return the choice."""
        return self._choices[self.widget.currentIndex]

    def write(self, value: Any) -> None:
        """Show the choice."""
        self.widget.currentIndex = self._choices.index(value)


class OfNode(Connector):
    """A node in a selector, which is told the classes."""

    signal = "currentNodeChanged(vtkMRMLNode*)"

    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__(widget, datatype)
        widget.nodeTypes = [type_.__name__ for type_ in _alternatives(datatype) if type_ is not type(None)]

    def read(self) -> Any:
        """Return the node."""
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        """Choose the node."""
        self.widget.setCurrentNode(value)


def connector(widget: Any, datatype: Any) -> Connector:
    """Return what ties a widget to a parameter's type.

    Raises:
        RuntimeError: Slicer has nothing that ties the two, or the stand-in doesn't know it.
    """
    for widgets, types_, kind in TABLE:
        if type(widget) in widgets and all(_fits(one, types_) for one in _alternatives(datatype)):
            return kind(widget, datatype)
    raise RuntimeError(f"nothing ties a {type(widget).__name__} to a parameter of the type {datatype}")


def _alternatives(datatype: Any) -> list[Any]:
    plain = split(datatype)[0]
    union = typing.get_origin(plain) in (typing.Union, types.UnionType)
    return [split(one)[0] for one in typing.get_args(plain)] if union else [plain]


def _fits(type_: Any, types_: tuple[type, ...]) -> bool:
    """Tell whether a type is among these; classes of nodes, paths and enums by descent, numbers and texts exactly."""
    return type_ in types_ or (
        isinstance(type_, type) and issubclass(type_, types_) and not issubclass(type_, (bool, int))
    )


TABLE: tuple[tuple[tuple[Any, ...], tuple[type, ...], type[Connector]], ...] = (
    ((qt.QCheckBox,), (bool,), OfCheckBox),
    ((qt.QPushButton,), (bool,), OfButton),
    ((qt.QSpinBox, qt.QSlider), (int,), OfNumber),
    ((qt.QDoubleSpinBox, ctk.ctkSliderWidget), (int, float), OfFloat),
    ((qt.QComboBox, ctk.ctkComboBox), (int, float, str, bool, enum.Enum), OfChoice),
    ((qt.QLineEdit,), (str,), OfLineEdit),
    ((qt.QLabel,), (str,), OfLabel),
    ((qt.QTextEdit,), (str,), OfTextEdit),
    ((ctk.ctkPathLineEdit,), (PurePath,), OfPath),
    ((slicer.qMRMLNodeComboBox,), (slicer.vtkMRMLNode, type(None)), OfNode),
)
