"""A small plot of one class's probability over the slices; a click goes to the slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import qt
from slicer.i18n import tr as _

HEIGHT = 84
MARGIN = 4
LINE, HERE = "#e08a1e", "#5b87b5"


class SlicePlot(qt.QWidget):
    """Draws a line from the first slice to the last, from 0 at the bottom to 1 on top.

    Args:
        chosen: Told the index of the slice that is clicked.
    """

    def __init__(self, chosen: Callable[[int], None]) -> None:
        super().__init__()
        self._chosen = chosen
        self._values: Sequence[float] = ()
        self._threshold: float | None = None
        self._here: int | None = None
        self.setMinimumHeight(HEIGHT)
        self.setToolTip(_("Click to go to a slice. The thin line is the threshold."))
        self.setCursor(qt.QCursor(qt.Qt.PointingHandCursor))

    def showValues(self, values: Sequence[float], threshold: float | None) -> None:
        """Show a probability for each slice, NaN where it wasn't looked at."""
        if len(values) != len(self._values):
            self._here = None
        self._values, self._threshold = values, threshold
        self.update()

    def mark(self, number: int) -> None:
        """Mark the slice that is seen."""
        self._here = number
        self.update()

    def place(self, number: int) -> int:
        """Return where a slice is drawn, in pixels from the left."""
        return MARGIN + round(number * (self.width - 2 * MARGIN) / max(len(self._values) - 1, 1))

    def paintEvent(self, event: Any) -> None:
        """Draw frame, threshold, marker and line."""
        painter = qt.QPainter()
        painter.begin(self)
        painter.fillRect(0, 0, self.width, self.height, self.palette.color(qt.QPalette.Base))
        painter.setPen(self.palette.color(qt.QPalette.Mid))
        painter.drawRect(0, 0, self.width - 1, self.height - 1)
        if self._threshold is not None:
            painter.drawLine(MARGIN, self._level(self._threshold), self.width - MARGIN, self._level(self._threshold))
        if self._here is not None:
            painter.fillRect(self.place(self._here) - 1, 1, 2, self.height - 2, qt.QColor(HERE))
        pen = qt.QPen(qt.QColor(LINE))
        pen.setWidth(2)
        painter.setPen(pen)
        for (left, low), (right, high) in pairwise(enumerate(self._values)):
            if not (math.isnan(low) or math.isnan(high)):
                painter.drawLine(self.place(left), self._level(low), self.place(right), self._level(high))
        painter.end()

    def mousePressEvent(self, event: Any) -> None:
        """Go to the slice below the mouse."""
        if len(self._values):
            share = (event.pos().x() - MARGIN) / max(self.width - 2 * MARGIN, 1)
            self._chosen(round(min(max(share, 0.0), 1.0) * (len(self._values) - 1)))

    def _level(self, value: float) -> int:
        return self.height - MARGIN - round(value * (self.height - 2 * MARGIN))
