"""Reads .ui files into exactly the stand-ins' classes; what they don't know is an error before a widget is made."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from typing import Any

from PySide6 import QtCore, QtUiTools

from Testing.panels.standins.signals import VTK_ARGUMENT, signature

# Not properties of Qt's classes, but known to its loader.
LOADER_PROPERTIES = {"Line": {"orientation"}, "QLabel": {"buddy"}}


class QUiLoader(QtUiTools.QUiLoader):
    """Qt's loader, that makes stand-ins and wires the connections itself, with those that carry MRML objects."""

    def load(self, device: Any, parent: Any = None) -> Any:
        """Return the widget of an open QFile or QBuffer.

        Raises:
            ValueError: The file names a class, a property, a signal or a slot that isn't there.
        """
        tree = ET.fromstring(bytes(device.readAll().data()))
        connections = tree.findall("./connections/connection")
        for section in tree.findall("connections"):
            tree.remove(section)
        flags = [flag for element in tree.iter("widget") for flag in _check(element)]
        self._made: list[Any] = []  # keeps Python's side alive until Qt's parents hold it
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(tree))
        widget = super().load(buffer, parent)
        if widget is None:
            raise ValueError(f"Qt can't read the .ui file: {self.errorString()}")
        named = {made.objectName: made for made in self._made}
        for name, attribute, value in flags:
            setattr(named[name], attribute, value)
        for connection in connections:
            _wire(named, *(connection.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")))
        self._made = []
        return widget

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> Any:
        """Return a stand-in; called by Qt."""
        widget = self._make("QFrame" if className == "Line" else className, parent, name)
        if className == "Line":
            widget.frameShadow = widget.Sunken
        return widget

    def createLayout(self, className: str, parent: Any = None, name: str = "") -> Any:
        """Return a layout, set into `parent` unless that has one, as Qt's own loader does; called by Qt."""
        return self._make(className, parent if parent is not None and parent.layout() is None else None, name)

    def createAction(self, parent: Any = None, name: str = "") -> Any:
        """Return an action; called by Qt."""
        return self._make("QAction", parent, name)

    def _make(self, className: str, parent: Any, name: str) -> Any:
        made = widgetClass(className)(parent) if parent is not None else widgetClass(className)()
        made.objectName = name
        self._made.append(made)
        return made


def widgetClass(name: str) -> Any:
    """Return the stand-in of that name.

    Raises:
        ValueError: There is none.
    """
    owner = {"qMRML": "slicer", "qSlic": "slicer", "ctk": "ctk"}.get(
        name[:3] if name.startswith("ctk") else name[:5], "qt"
    )
    try:
        return getattr(sys.modules[owner], name)
    except AttributeError:
        raise ValueError(f"the .ui file uses the class {name}, which the stand-ins don't know") from None


def _check(element: ET.Element) -> list[tuple[str, str, Any]]:
    """Refuse unknown properties; return (widget, property, value) of flags that Qt's loader can't set in Python."""
    className, found = element.get("class", ""), []
    kind = widgetClass("QFrame" if className == "Line" else className)
    for one in element.findall("property"):
        name, flags = one.get("name", ""), one.find("set")
        known = kind.staticMetaObject.indexOfProperty(name) >= 0 or name in LOADER_PROPERTIES.get(className, ())
        if not known and one.get("stdset") != "0":
            raise ValueError(f"the .ui file sets {className}.{name}, which is no property")
        if flags is not None and kind.__module__.endswith("ctk_module"):
            members = [getattr(kind, flag.split("::")[-1]) for flag in (flags.text or "").split("|")]
            found.append((element.get("name", ""), name, sum(members)))
            element.remove(one)
    return found


def _wire(named: dict[str, Any], sender: str, signal: str, receiver: str, slot: str) -> None:
    for name in (sender, receiver):
        if name not in named:
            raise ValueError(f"the .ui file connects {name!r}, which it doesn't hold")
    source, target = named[sender], named[receiver]
    wanted = VTK_ARGUMENT.sub("PyObject", slot)
    if type(target).staticMetaObject.indexOfSlot(wanted) < 0:
        raise ValueError(f"the .ui file connects to {receiver}.{slot}, but {target.className()} has no such slot")
    QtCore.QObject.connect(source, QtCore.SIGNAL(signature(source, signal)), target, QtCore.SLOT(wanted))
