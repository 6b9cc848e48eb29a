"""Layouts that lie in one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

LAYOUTS = Path(__file__).parent / "UI"


def load(name: str) -> Any:
    """Return the widget of a layout file of this package."""
    return slicer.util.loadUI(str(LAYOUTS / name))


def loadInto(ui: Any, place: Any, name: str) -> None:
    """Put a layout file's widget into a place, and what it holds among the named widgets `ui`."""
    content = load(name)
    place.addWidget(content)
    ui.__dict__.update(slicer.util.childWidgetVariables(content).__dict__)
