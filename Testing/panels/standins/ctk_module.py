"""The module `ctk`: the widgets of CTK that panels here use; the others exist by name at most."""

from __future__ import annotations

import types
from typing import Any

import qt
from PySide6 import QtCore

from Testing.panels.standins.properties import strict

# What Slicer's parameterNodeWrapper compares types with.
NAMES_ONLY = (
    "ctkCheckablePushButton ctkCheckBox ctkColorPickerButton ctkDirectoryButton ctkDoubleRangeSlider ctkDoubleSlider "
    "ctkDoubleSpinBox ctkRangeWidget"
)
STEPS = 1000  # of the slider beside a spin box


class CtkModule(types.ModuleType):
    """Says what it doesn't know."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the stand-in for ctk does not know {name!r}")


def nameOnly(name: str) -> type:
    """Return a class that can be compared with, and not used."""

    def __init__(self: Any, *_: Any) -> None:
        raise NotImplementedError(f"the stand-ins know {name} by name only: write it before using it")

    return type(name, (), {"__init__": __init__})


@strict
class ctkCollapsibleButton(qt.QAbstractButton):
    """A button above its own children, who are seen while it is checked."""

    contentsCollapsed = QtCore.Signal(bool)
    _hidden: Any = None

    def __init__(self, *arguments: Any) -> None:
        text, parents = (
            ("", arguments) if not arguments or not isinstance(arguments[0], str) else (arguments[0], arguments[1:])
        )
        super().__init__(*parents)
        self._hidden = []
        self.text = text
        self.checkable = self.checked = True
        self.setSizePolicy(qt.QSizePolicy.Minimum, qt.QSizePolicy.Preferred)
        self.setContentsMargins(0, self._header(), 0, 0)
        self.toggled.connect(self._toggle)

    def _getCollapsed(self) -> bool:
        return not self.checked

    def setCollapsed(self, collapsed: bool) -> None:
        """Hide the children, or show them."""
        self.checked = not collapsed

    collapsed = QtCore.Property(bool, _getCollapsed, setCollapsed, notify=contentsCollapsed)

    def _toggle(self, expanded: bool) -> None:
        if expanded:
            self._showContents()
        else:
            self._hideContents()
        self.maximumHeight = 16777215 if expanded else self._header()
        self.updateGeometry()
        self.contentsCollapsed.emit(not expanded)

    def _hideContents(self) -> None:
        shown = [child for child in self.children() if child.isWidgetType() and not child.isHidden()]
        for child in shown:
            child.hide()
        self._hidden += shown

    def _showContents(self) -> None:
        for child in self._hidden:
            child.show()
        self._hidden = []

    def _header(self) -> int:
        return int(self.fontMetrics().height()) + 8

    def showEvent(self, event: Any) -> None:
        """Hide what was added while the button was collapsed."""
        if self.collapsed:
            self._hideContents()
        super().showEvent(event)

    def sizeHint(self) -> Any:
        """Return the size of header and contents."""
        header = qt.QSize(self.fontMetrics().horizontalAdvance(self.text) + 40, self._header())
        return header if self.collapsed or self.layout() is None else header.expandedTo(self.layout().totalSizeHint())

    def minimumSizeHint(self) -> Any:
        """Return the least size of header and contents."""
        header = qt.QSize(40, self._header())
        return (
            header if self.collapsed or self.layout() is None else header.expandedTo(self.layout().totalMinimumSize())
        )

    def hitButton(self, position: Any) -> bool:
        """Tell whether a click is on the header."""
        return bool(position.y() < self._header())

    def paintEvent(self, _: Any) -> None:
        """Draw the header."""
        painter, option = qt.QStylePainter(self), qt.QStyleOptionButton()
        option.initFrom(self)
        option.rect = qt.QRect(0, 0, self.width, self._header())
        painter.drawControl(qt.QStyle.CE_PushButtonBevel, option)
        arrow = qt.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = qt.QRect(8, 0, 12, self._header())
        style = qt.QStyle.PE_IndicatorArrowRight if self.collapsed else qt.QStyle.PE_IndicatorArrowDown
        painter.drawPrimitive(style, arrow)
        option.rect.adjust(26, 0, -4, 0)
        painter.drawItemText(
            option.rect,
            qt.Qt.AlignLeft | qt.Qt.AlignVCenter | qt.Qt.TextShowMnemonic,
            option.palette,
            self.enabled,
            self.text,
        )


@strict
class ctkComboBox(qt.QComboBox):
    """A combo box with a text for no choice."""

    def _getDefaultText(self) -> str:
        return str(self.placeholderText)

    def setDefaultText(self, text: str) -> None:
        """Set what is shown while nothing is chosen."""
        self.placeholderText = text

    defaultText = QtCore.Property(str, _getDefaultText, setDefaultText)


def _ofSpin(name: str, kind: type) -> Any:
    """Return the property, and its setter, that a slider widget takes from its spin box."""

    def put(self: Any, value: Any) -> None:
        setattr(self._spin, name, value)
        self._place()

    return QtCore.Property(kind, lambda self: getattr(self._spin, name), put), put


@strict
class ctkSliderWidget(qt.QWidget):
    """A slider beside a spin box, for one floating-point number."""

    valueChanged = QtCore.Signal(float)
    _spin: Any = None
    _slider: Any = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._slider, self._spin = qt.QSlider(qt.Qt.Horizontal), qt.QDoubleSpinBox()
        self._slider.maximum = STEPS
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        self._slider.connect("sliderMoved(int)", self._moved)
        self._spin.connect("valueChanged(double)", self._changed)

    def _moved(self, step: int) -> None:
        self.value = self.minimum + (self.maximum - self.minimum) * step / STEPS

    def _changed(self, value: float) -> None:
        self._place()
        self.valueChanged.emit(value)

    def _place(self) -> None:
        width = self.maximum - self.minimum
        self._slider.value = round(STEPS * (self.value - self.minimum) / width) if width else 0

    value, setValue = _ofSpin("value", float)
    minimum, setMinimum = _ofSpin("minimum", float)
    maximum, setMaximum = _ofSpin("maximum", float)
    singleStep, setSingleStep = _ofSpin("singleStep", float)
    decimals, setDecimals = _ofSpin("decimals", int)
    prefix, setPrefix = _ofSpin("prefix", str)
    suffix, setSuffix = _ofSpin("suffix", str)

    def setRange(self, minimum: float, maximum: float) -> None:
        """Set the least and the greatest value."""
        self.minimum, self.maximum = minimum, maximum


@strict
class ctkPathLineEdit(qt.QWidget):
    """A line for a path, with a button that asks for one."""

    Dirs, Files, Drives, NoSymLinks, Readable, Writable, Executable = (1 << bit for bit in (0, 1, 2, 3, 4, 5, 6))
    AllEntries = Dirs | Files | Drives
    currentPathChanged = QtCore.Signal(str)
    _edit: Any = None
    _filters: Any = AllEntries

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._edit, button = qt.QLineEdit(), qt.QToolButton()
        button.text = "…"
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        layout.addWidget(button)
        self._edit.connect("textChanged(QString)", self.currentPathChanged.emit)
        button.connect("clicked()", self.browse)

    def _getCurrentPath(self) -> str:
        return str(self._edit.text)

    def setCurrentPath(self, path: str) -> None:
        """Set the path."""
        self._edit.text = path

    def _getFilters(self) -> int:
        return int(self._filters)

    def setFilters(self, filters: int) -> None:
        """Set what kinds of paths are asked for."""
        self._filters = filters

    currentPath = QtCore.Property(str, _getCurrentPath, setCurrentPath, notify=currentPathChanged)
    filters = QtCore.Property(int, _getFilters, setFilters)

    def browse(self) -> None:
        """Ask for a path."""
        ask = qt.QFileDialog.getOpenFileName if self.filters & self.Files else qt.QFileDialog.getExistingDirectory
        if path := ask(self, "", self.currentPath):
            self.currentPath = path


def makeModule() -> CtkModule:
    """Return the module."""
    module = CtkModule("ctk", "The widgets of CTK that panels here use.")
    for made in (
        ctkCollapsibleButton,
        ctkComboBox,
        ctkSliderWidget,
        ctkPathLineEdit,
        *map(nameOnly, NAMES_ONLY.split()),
    ):
        setattr(module, made.__name__, made)
    return module
