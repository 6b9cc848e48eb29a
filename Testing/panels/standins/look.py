"""How panels look in pictures: Qt's Fusion style, light or dark, with a font that has letters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import slicer
from PySide6 import QtGui

FONT, POINTS = "DejaVu Sans", 9
DARK = {
    "Window": "#353535",
    "WindowText": "#ffffff",
    "Base": "#232323",
    "AlternateBase": "#2d2d2d",
    "ToolTipBase": "#353535",
    "ToolTipText": "#ffffff",
    "Text": "#ffffff",
    "Button": "#404040",
    "ButtonText": "#ffffff",
    "BrightText": "#ff5555",
    "Link": "#4aa3ff",
    "Highlight": "#2a82da",
    "HighlightedText": "#ffffff",
    "PlaceholderText": "#a0a0a0",
}
LIGHT = {
    "Window": "#efefef",
    "WindowText": "#000000",
    "Base": "#ffffff",
    "AlternateBase": "#f7f7f7",
    "ToolTipBase": "#ffffdc",
    "ToolTipText": "#000000",
    "Text": "#000000",
    "Button": "#efefef",
    "ButtonText": "#000000",
    "BrightText": "#ff0000",
    "Link": "#0057ae",
    "Highlight": "#308cc6",
    "HighlightedText": "#ffffff",
    "PlaceholderText": "#707070",
}
GREYED = ("WindowText", "Text", "ButtonText")


@contextmanager
def dressed(dark: bool) -> Iterator[None]:
    """Give the application a style, a palette and a font, and take them back."""
    application = slicer.app.qApplication
    before = application.style().objectName(), QtGui.QPalette(application.palette()), application.font()
    application.setStyle("Fusion")
    application.setPalette(palette(dark))
    application.setFont(font())
    yield
    application.setStyle(before[0])
    application.setPalette(before[1])
    application.setFont(before[2])


def palette(dark: bool) -> QtGui.QPalette:
    """Return a palette like that of Slicer's dark or light style."""
    made, group = QtGui.QPalette(), QtGui.QPalette
    for name, color in (DARK if dark else LIGHT).items():
        made.setColor(group.ColorRole[name], QtGui.QColor(color))
    for name in GREYED:
        made.setColor(group.ColorGroup.Disabled, group.ColorRole[name], QtGui.QColor("#8a8a8a"))
    return made


@cache
def font() -> QtGui.QFont:
    """Return a font of this machine, else the one that matplotlib ships: offscreen, Qt may have none."""
    if FONT not in QtGui.QFontDatabase.families():
        import matplotlib

        for file in Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf"):
            QtGui.QFontDatabase.addApplicationFont(str(file))
    if FONT not in QtGui.QFontDatabase.families():
        raise RuntimeError(f"no font to draw with: neither this machine nor matplotlib has {FONT}")
    return QtGui.QFont(FONT, POINTS)
