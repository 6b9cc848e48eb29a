"""Changes that came from the scene, on their way into widgets."""

from __future__ import annotations

from typing import Any


def setQuietly(widget: Any, name: str, value: Any) -> None:
    """Set a widget's property without its signals: the change came from the scene."""
    blocked = widget.blockSignals(True)
    setattr(widget, name, value)
    widget.blockSignals(blocked)
