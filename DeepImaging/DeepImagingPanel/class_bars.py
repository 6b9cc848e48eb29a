"""The bars of a classification: one row a class, and the way to its heatmap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from DeepImagingLib.results import Classification
from DeepImagingPanel.texts import asPlain

NAME, BAR, NUMBER, MAP = range(4)
NUMBERS = qt.Qt.AlignRight | qt.Qt.AlignVCenter
BAR_PIXELS = 76
LEAST_ROWS, MOST_ROWS = 2, 16
HEADER_MARGIN = 8
FOUND, OTHER, GREY = "#e08a1e", "#5b87b5", "#8c8c8c"
"""To be seen on light and on dark ground alike; so is the tick, white between two black lines."""


class ClassBars:
    """Keeps a QTreeView in step with a classification.

    Args:
        view: The QTreeView.
        chosen: Told of a class whenever the user clicks it, or presses Enter on it.
        moved: Called when another class is the current one.
    """

    def __init__(self, view: Any, chosen: Callable[[str], None], moved: Callable[[], None]) -> None:
        self.view = view
        self._chosen = chosen
        self._labels: tuple[str, ...] = ()
        self._model = qt.QStandardItemModel(view)
        self._model.setHorizontalHeaderLabels([_("Class"), _("Probability"), "", _("Map")])
        view.setModel(self._model)
        header = view.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        self._model.horizontalHeaderItem(NUMBER).setTextAlignment(NUMBERS)
        view.selectionModel().connect("currentRowChanged(QModelIndex,QModelIndex)", lambda *_indices: moved())
        view.connect("clicked(QModelIndex)", self._onChosen)
        view.connect("activated(QModelIndex)", self._onChosen)

    @property
    def current(self) -> str:
        """The class that is chosen, "" without one."""
        row = self.view.currentIndex().row()
        return self._labels[row] if 0 <= row < len(self._labels) else ""

    def choose(self, label: str) -> None:
        """Choose a class, as the scene says."""
        if label in self._labels:
            self.view.setCurrentIndex(self._model.index(self._labels.index(label), NAME))

    def show(self, result: Classification | None, marks: Mapping[str, str]) -> None:
        """Show a classification, with a mark in the last column for classes that have one."""
        before = self.current
        self._labels = result.labels if result is not None else ()
        self._model.setRowCount(len(self._labels))
        height = self.view.fontMetrics().height()
        self.view.setIconSize(qt.QSize(BAR_PIXELS, height))
        for row, label in enumerate(self._labels):
            self._write(row, result, marks.get(label, ""), height)
        self.choose(before)
        self._fitHeight(height)

    def _onChosen(self, index: Any = None) -> None:
        if self.current:
            self._chosen(self.current)

    def _write(self, row: int, result: Classification, mark: str, height: int) -> None:
        texts = (result.labels[row], "", f"{result.probabilities[row]:.2f}", mark)
        for column, text in enumerate(texts):
            index = self._model.index(row, column)
            self._model.setData(index, text, qt.Qt.DisplayRole)
            self._model.setData(index, asPlain(_told(result, row)), qt.Qt.ToolTipRole)
            self._model.setData(index, qt.QColor(GREY) if result.is_unlike else None, qt.Qt.ForegroundRole)
        self._model.item(row, NUMBER).setTextAlignment(NUMBERS)
        self._model.item(row, MAP).setTextAlignment(qt.Qt.AlignCenter)
        self._model.setData(self._model.index(row, BAR), self._bar(result, row, height), qt.Qt.DecorationRole)

    def _bar(self, result: Classification, row: int, height: int) -> Any:
        """Return the picture of a probability, with a tick where its threshold is."""
        end = BAR_PIXELS - 1
        found = result.labels[row] in result.found
        color = qt.QColor(GREY if result.is_unlike else FOUND if found else OTHER)
        picture = qt.QPixmap(BAR_PIXELS, height)
        picture.fill(qt.QColor(0, 0, 0, 0))
        painter = qt.QPainter()
        painter.begin(picture)
        painter.fillRect(0, 2, BAR_PIXELS, height - 4, qt.QColor(128, 128, 128, 70))
        painter.fillRect(0, 2, round(result.probabilities[row] * end), height - 4, color)
        if not result.exclusive:
            tick = min(round(result.thresholds[row] * end), end - 1)
            painter.fillRect(tick - 1, 0, 4, height, qt.QColor(0, 0, 0))
            painter.fillRect(tick, 0, 2, height, qt.QColor(255, 255, 255))
        painter.end()
        return picture

    def _fitHeight(self, line: int) -> None:
        """Make the table as high as its rows, within limits."""
        self.view.header().setFixedHeight(line + HEADER_MARGIN)
        row = max(self.view.sizeHintForRow(0), line)
        rows = min(max(len(self._labels), LEAST_ROWS), MOST_ROWS)
        self.view.setFixedHeight(line + HEADER_MARGIN + rows * row + 2 * self.view.frameWidth)


def _told(result: Classification, row: int) -> str:
    """Return all that is told of a class, in lines."""
    lines = [result.labels[row], _("Probability {value:.3f}").format(value=result.probabilities[row])]
    if result.uncalibrated:
        lines.append(_("{value:.3f} before calibration").format(value=result.uncalibrated[row]))
    if not result.exclusive:
        lines.append(_("Found from {value:.2f}, the line in the bar").format(value=result.thresholds[row]))
    return "\n".join(lines)
