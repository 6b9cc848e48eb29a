"""The table of findings: one row each, and the way to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from DeepImagingLib.scene import Finding, Review
from DeepImagingPanel.texts import asPlain

RANK, NAME, SCORE, DIAMETER, REVIEW = range(5)
NUMBERS = qt.Qt.AlignRight | qt.Qt.AlignVCenter
SWATCH_PIXELS = 12
LEAST_ROWS, MOST_ROWS = 3, 12
HEADER_MARGIN = 8
MARKS = {Review.NONE: "", Review.ACCEPTED: "✓", Review.REJECTED: "✗"}


class FindingsTable:
    """Keeps a QTreeView in step with findings.

    Args:
        view: The QTreeView.
        chosen: Told of a finding whenever the user goes to one, by mouse or by key.
    """

    def __init__(self, view: Any, chosen: Callable[[Finding], None]) -> None:
        self.view = view
        self._chosen = chosen
        self._findings: list[Finding] = []
        self._last: Finding | None = None
        self._filling = False
        self._model = qt.QStandardItemModel(view)
        self._model.setHorizontalHeaderLabels(["#", _("Finding"), _("Score"), _("mm"), ""])
        view.setModel(self._model)
        view.setIconSize(qt.QSize(SWATCH_PIXELS, SWATCH_PIXELS))
        header = view.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        for column in (RANK, SCORE, DIAMETER):
            self._model.horizontalHeaderItem(column).setTextAlignment(NUMBERS)
        view.selectionModel().connect("currentRowChanged(QModelIndex,QModelIndex)", self._onCurrent)
        view.connect("clicked(QModelIndex)", self._onCurrent)  # goes there again

    @property
    def current(self) -> Finding | None:
        """The finding that is chosen."""
        row = self.view.currentIndex().row()
        return self._findings[row] if 0 <= row < len(self._findings) else None

    def show(self, findings: Sequence[Finding]) -> None:
        """Show findings; the one that was chosen last is so where it is among them."""
        self._findings = list(findings)
        self._filling = True
        self._model.setRowCount(len(self._findings))
        for row, finding in enumerate(self._findings):
            self._write(row, finding)
        last = self._last.node if self._last is not None else None
        same = [row for row, one in enumerate(self._findings) if one.node is last]
        self.view.setCurrentIndex(self._model.index(same[0], NAME) if same else qt.QModelIndex())
        self._filling = False
        self._fitHeight()

    def forget(self) -> None:
        """Choose none, as at first."""
        self._last = None

    def go(self, steps: int) -> None:
        """Go on by some findings from the one that was chosen last, be it shown or not; at first, to the first one."""
        if self.has(steps):
            self.view.setCurrentIndex(self._model.index(self._row(steps), NAME))

    def has(self, steps: int) -> bool:
        """Tell whether there is a finding to which `go` would go."""
        return 0 <= self._row(steps) < len(self._findings)

    def _row(self, steps: int) -> int:
        """Return the row that is so many steps on; one outside the table where there is none."""
        if self.current is not None:
            return self.view.currentIndex().row() + steps
        rank = self._last.rank if self._last is not None else 0
        before = sum(finding.rank < rank for finding in self._findings)  # the last one stood between two rows
        return before + (steps - 1 if steps > 0 else steps)

    def _onCurrent(self, current: Any = None, previous: Any = None) -> None:
        if not self._filling and self.current is not None:
            self._last = self.current
            self._chosen(self.current)

    def _write(self, row: int, finding: Finding) -> None:
        box = finding.detection
        name = f"{box.label}, {finding.place}" if finding.place else box.label
        texts = (str(finding.rank), name, f"{box.score:.2f}", f"{max(box.size):.1f}", MARKS[finding.review])
        for column, text in enumerate(texts):
            index = self._model.index(row, column)
            self._model.setData(index, text, qt.Qt.DisplayRole)
            self._model.setData(index, asPlain(_told(finding)), qt.Qt.ToolTipRole)
            if column in (RANK, SCORE, DIAMETER):
                self._model.item(row, column).setTextAlignment(NUMBERS)
        color = qt.QColor.fromRgbF(*finding.node.GetDisplayNode().GetSelectedColor())
        self._model.setData(self._model.index(row, NAME), color, qt.Qt.DecorationRole)

    def _fitHeight(self) -> None:
        """Make the table as high as its rows, within limits."""
        line = self.view.fontMetrics().height()
        self.view.header().setFixedHeight(line + HEADER_MARGIN)
        row = max(self.view.sizeHintForRow(0), line)
        rows = min(max(len(self._findings), LEAST_ROWS), MOST_ROWS)
        self.view.setFixedHeight(line + HEADER_MARGIN + rows * row + 2 * self.view.frameWidth)


def _told(finding: Finding) -> str:
    """Return all that is told of a finding, in lines."""
    box = finding.detection
    lines = [
        f"{box.label}, {finding.place}" if finding.place else box.label,
        _("Score {score:.3f}").format(score=box.score),
        _("Center {r:.1f}, {a:.1f}, {s:.1f} mm (RAS)").format(r=box.center[0], a=box.center[1], s=box.center[2]),
        _("{size} mm, {volume:.2f} mL").format(
            size=" × ".join(f"{length:.1f}" for length in box.size), volume=box.millilitres
        ),
        *(f"{name}: {value:g}" for name, value in box.more.items()),
    ]
    return "\n".join(lines)
