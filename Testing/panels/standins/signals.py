"""Signals by their C++ text, as PythonQt takes them: `button.connect("clicked()", slot)`; unknown ones are errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

# Objects of MRML and VTK travel through PySide's signals as plain Python objects.
VTK_ARGUMENT = re.compile(r"\bvtk\w+\*")


def signature(sender: QtCore.QObject, signal: str) -> str:
    """Return the signal's name as Qt's meta-object has it.

    Raises:
        ValueError: There is no such signal.
    """
    meta = type(sender).staticMetaObject  # not metaObject(): PySide ties its result to the object's life
    wanted = VTK_ARGUMENT.sub("PyObject", bytes(QtCore.QMetaObject.normalizedSignature(signal).data()).decode())
    if meta.indexOfSignal(wanted) < 0:
        methods = [meta.method(index) for index in range(meta.methodCount())]
        known = [bytes(m.methodSignature().data()).decode() for m in methods if m.methodType().name == "Signal"]
        raise ValueError(f"{meta.className()} has no signal {signal!r}; it has {', '.join(known)}")
    return wanted


def connect(self: Any, signal: str, slot: Callable[..., Any]) -> bool:
    """Connect a signal, written as in C++, with a Python callable."""
    if not callable(slot):
        raise TypeError(f"{signal} was to be connected with {slot!r}, which can't be called")
    return bool(QtCore.QObject.connect(self, QtCore.SIGNAL(signature(self, signal)), slot))


def disconnect(self: Any, signal: str, slot: Callable[..., Any]) -> bool:
    """Undo `connect`."""
    return bool(QtCore.QObject.disconnect(self, QtCore.SIGNAL(signature(self, signal)), slot))


def className(self: Any) -> str:
    """Return the class's name as Qt has it."""
    return str(type(self).staticMetaObject.className())


CONNECTING = (connect, disconnect, className)
