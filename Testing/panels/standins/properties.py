"""Qt classes that behave as PythonQt shows them: properties are attributes, signals are strings, typos are errors.

PySide's own classes stay as they are: each gets a subclass here, made once, under the same name.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from Testing.panels.standins.signals import CONNECTING

# Meta-properties that stay methods: C++ calls the first as virtual functions, QTimer has a static `singleShot`.
METHODS = {"sizeHint", "minimumSizeHint", "children", "parent", "singleShot"}
# Methods that hand out objects made in C++, which arrive as plain PySide objects.
GIVERS = (
    "button buttons clickedButton actions layout parent parentWidget window widget "
    "horizontalHeader verticalHeader horizontalScrollBar verticalScrollBar lineEdit view viewport document model "
    "selectionModel completer cellWidget itemWidget buddy menuAction defaultAction action menu children"
)
TAKERS = "addRow addWidget insertWidget isAncestorOf mapFrom mapTo removeWidget setBuddy setDefaultButton setFocusProxy"
APPLICATION_GIVERS = "activeModalWidget activeWindow allWidgets clipboard focusWidget instance topLevelWidgets"
# Methods that make an object of a text and hand it out.
ADDERS = {"addAction": QtGui.QAction, "addMenu": QtWidgets.QMenu, "addButton": QtWidgets.QPushButton}

_strict: set[type] = set()


def _isSubclass(cls: type, other: type) -> bool:
    return issubclass(other, cls._qtClass) if "_qtClass" in cls.__dict__ else type.__subclasscheck__(cls, other)


# `isinstance(widget, qt.QAbstractButton)` asks Qt's class, of which the stand-ins are siblings. A metaclass of our own
# would be cleaner, but PySide takes no object of such a class for its own and crashes where that was deleted.
type(QtCore.QObject).__subclasscheck__ = _isSubclass  # type: ignore[method-assign]
type(QtCore.QObject).__instancecheck__ = lambda cls, one: _isSubclass(cls, one.__class__)  # type: ignore[method-assign]


@cache
def standIn(base: type) -> type:
    """Return the stand-in for a QObject class of PySide, made at the first call."""
    body = {
        **flatEnums(base),
        **_exchanging(base),
        **_properties(base),
        **_methods(base),
        "_qtClass": base,
        "__doc__": f"{base.__name__} as PythonQt shows it.",
    }
    return strict(type(base)(base.__name__, (base,), body))


def strict(made: type) -> type:
    """Refuse unknown attributes on instances of exactly this class; Python subclasses of it may set what they like."""
    _strict.add(made)
    return made


class Adopted:
    """An object that Qt made itself (a header, a clipboard), seen through its class's stand-in.

    Constructors, properties and TAKERS take it for the object; to other functions of Qt give its `plain`. (PySide
    doesn't let an object change its class.)
    """

    def __init__(self, plain: QtCore.QObject) -> None:
        self.__dict__["plain"] = plain

    @property
    def __class__(self) -> type:
        return standIn(type(self.plain))

    def __getattr__(self, name: str) -> Any:
        found = inspect.getattr_static(self.__class__, name, None)
        if isinstance(found, property) or inspect.isfunction(found):
            return found.__get__(self.plain)
        return getattr(self.plain, name)

    def __setattr__(self, name: str, value: Any) -> None:
        found = inspect.getattr_static(self.__class__, name, None)
        if not isinstance(found, property):
            raise AttributeError(f"{type(self.plain).__name__} has no property {name!r} that can be set")
        found.__set__(self.plain, value)

    def __eq__(self, other: object) -> bool:
        return bool(self.plain == (other.__dict__["plain"] if type(other) is Adopted else other))

    def __hash__(self) -> int:
        return hash(self.plain)


def adopt(value: Any) -> Any:
    """Return `value`; objects in it that Qt made itself are seen through their stand-ins."""
    if isinstance(value, (list, tuple)):
        return type(value)(adopt(item) for item in value)
    if isinstance(value, QtCore.QObject) and type(value).__module__.startswith("PySide6."):
        return Adopted(value)
    return value


def plain(value: Any) -> Any:
    """Return what `adopt` got."""
    return value.plain if type(value) is Adopted else value


def flatEnums(owner: Any) -> dict[str, Any]:
    """Return the members of all enums in a class, as PythonQt has them: `qt.QFrame.Sunken`, `qt.Qt.AlignLeft`."""
    enums = [found for name in dir(owner) if isinstance(found := getattr(owner, name), enum.EnumMeta)]
    return {name: value for found in enums for name, value in found.__members__.items()}


def _properties(base: type) -> dict[str, property]:
    meta = base.staticMetaObject  # type: ignore[attr-defined]
    every = [meta.property(index) for index in range(meta.propertyCount())]
    found = {one.name(): _property(base, one) for one in every if one.name() not in METHODS}
    return {"name": found["objectName"], **found}


def _property(base: type, meta: QtCore.QMetaProperty) -> property:
    name = meta.name()
    capital = name[0].upper() + name[1:]
    read, write = _method(base, name, f"is{capital}", f"has{capital}"), _method(base, f"set{capital}")

    def get(self: Any) -> Any:
        return adopt(read(self) if read else base.property(self, name))  # type: ignore[attr-defined]

    def put(self: Any, value: Any) -> None:
        if write:
            write(self, plain(value))
        else:
            base.setProperty(self, name, value)  # type: ignore[attr-defined]

    return property(get, put if meta.isWritable() else None)


def _method(base: type, *names: str) -> Callable[..., Any] | None:
    """Return the first of these that is a method and not a static function (as those of QApplication are)."""
    return next((found for name in names if inspect.ismethoddescriptor(found := getattr(base, name, None))), None)


def _exchanging(base: type) -> dict[str, Any]:
    """Return the methods that take or give objects of Qt; those of layouts that give are virtual and left alone."""
    gives = "" if issubclass(base, QtWidgets.QLayout) else GIVERS
    static = f"{APPLICATION_GIVERS} setTabOrder" if issubclass(base, QtWidgets.QApplication) else "setTabOrder"
    methods = {name: _exchange(found) for name in f"{gives} {TAKERS}".split() if (found := getattr(base, name, None))}
    statics = {name: staticmethod(_exchange(found)) for name in static.split() if (found := getattr(base, name, None))}
    return methods | statics


def _exchange(method: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: adopt(method(*map(plain, arguments)))


def _methods(base: Any) -> dict[str, Any]:
    """Return what every stand-in has beside its properties and givers."""

    def __init__(self: Any, *arguments: Any) -> None:  # no keywords: PythonQt takes none
        base.__init__(self, *map(plain, arguments))

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if name in METHODS:
            getattr(self, f"set{name[0].upper()}{name[1:]}")(value)
            return
        if type(self) in _strict and not _settable(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no property {name!r} that can be set")
        base.__setattr__(self, name, value)

    def findChildren(self: Any, kind: type = QtCore.QObject, name: str = "") -> list[Any]:
        children = base.findChildren(self, QtCore.QObject)
        return [c for c in adopt(children) if isinstance(c, kind) and (not name or c.objectName == name)]

    def findChild(self: Any, kind: type = QtCore.QObject, name: str = "") -> Any:
        return next(iter(findChildren(self, kind, name)), None)

    def __init_subclass__(cls: type, **_: Any) -> None:
        for function in CONNECTING:  # PySide looks for `connect` in an object's own class only
            if function.__name__ not in cls.__dict__:
                setattr(cls, function.__name__, function)

    own = (__init__, __setattr__, findChildren, findChild, *CONNECTING)
    body: dict[str, Any] = {f.__name__: f for f in own}
    body["__init_subclass__"] = classmethod(__init_subclass__)
    body |= {name: _adder(base, name, kind) for name, kind in ADDERS.items() if hasattr(base, name)}
    if hasattr(base, "exec"):
        body["exec_"] = lambda self, *arguments: self.exec(*arguments)
    return body


def _adder(base: Any, name: str, kind: type) -> Callable[..., Any]:
    """Return `addAction` and its like: what they make of a text is made here, so that it is a stand-in."""
    add = getattr(base, name)

    def method(self: Any, *arguments: Any) -> Any:
        texts = [argument for argument in arguments if isinstance(argument, (str, QtGui.QIcon))]
        if not texts:
            return adopt(add(self, *arguments))
        made = standIn(kind)(*texts, self)
        add(self, made, *arguments[len(texts) :])
        return made

    return method


def _settable(kind: type, name: str) -> bool:
    """Tell whether a name is a property, or state that a stand-in written by hand declares for itself."""
    return isinstance(inspect.getattr_static(kind, name, None), (property, QtCore.Property)) or (
        name.startswith("_") and (hasattr(kind, name) or name.startswith("__"))  # PySide keeps its own as __NAME__
    )
