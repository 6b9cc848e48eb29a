"""Loads a scripted module as Slicer does, clicks in its panel, waits, and takes its picture."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from Testing.panels.standins.install import install

PASSES = 3
"""Times a layout is asked for its size: one that lies in another tells a change one pass later."""


def load_module(path: str | Path) -> tuple[Any, Any]:
    """Load a scripted module's file and build its panel.

    As in Slicer, the file's folder is put on sys.path, and `slicer.modules.<lower-case name>` is the module.

    Returns:
        The Python module, and the instance of its Widget class after `setup()`.
    """
    install()
    import slicer

    from Testing.panels.standins.module import SlicerModule

    path = Path(path).resolve()
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    source = _import(path)
    module = SlicerModule(path)
    setattr(slicer.modules, f"{path.stem}Instance", getattr(source, path.stem)(module))
    setattr(slicer.modules, path.stem.lower(), module)
    slicer.app.moduleManager().add(module)
    return source, module.widgetRepresentation().self()


def unload_module(name: str) -> None:
    """Announce a module's end, as Slicer does before it quits, and delete its panel."""
    import slicer

    manager = slicer.app.moduleManager()
    manager.moduleAboutToBeUnloaded.emit(name)
    manager.module(name).widgetRepresentation().deleteLater()
    for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
        delattr(slicer.modules, attribute)
    sys.modules.pop(name)
    process_events_until(lambda: True, 0)


def _import(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def click(button: Any) -> None:
    """Click a button with the mouse, as a user does: one that is grey or hidden is an error."""
    from PySide6 import QtCore, QtTest

    if not button.enabled or button.isHidden():
        raise AssertionError(
            f"{button.objectName!r} can't be clicked: enabled {button.enabled}, hidden {button.isHidden()}"
        )
    QtTest.QTest.mouseClick(button, QtCore.Qt.MouseButton.LeftButton, pos=_hot(button))


def _hot(button: Any) -> Any:
    """Return the place where a mouse would hit: check boxes react on their box and text only."""
    from PySide6 import QtCore

    centre = button.rect.center()
    return centre if button.hitButton(centre) else QtCore.QPoint(8, min(centre.y(), 8))


def process_events_until(condition: Callable[[], Any], timeout: float = 10.0) -> None:
    """Let Qt work until `condition()` is true.

    Raises:
        TimeoutError: It wasn't within `timeout` seconds.
    """
    from PySide6 import QtCore

    end = time.monotonic() + timeout
    while True:
        QtCore.QCoreApplication.processEvents()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
        if condition():
            return
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout} s: {condition}")
        time.sleep(0.002)


def render(widget: Any, path: str | Path, width: int = 400, dark: bool = False, height: int | None = None) -> Path:
    """Write a widget's picture as PNG, in Qt's Fusion style, as high as its content asks unless told.

    `widget` is a panel (an instance of a module's Widget class) or a Qt widget.
    """
    from Testing.panels.standins.look import dressed

    pane = getattr(widget, "parent", None) if not hasattr(widget, "metaObject") else widget
    with dressed(dark):
        process_events_until(lambda: True)
        pane.show()
        for _pass in range(PASSES):
            hint = pane.layout().totalHeightForWidth(width) if pane.layout() else -1
            pane.resize(width, height or max(hint, pane.sizeHint().height()))
            process_events_until(lambda: True)
        if not pane.grab().save(str(path)):
            raise OSError(f"{path} can't be written")
        pane.hide()
    return Path(path)
