"""The table of a result's segments: colour, whether it is seen, name, volume and brightness."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib.tasks.measures import Measure
from DeepImagingPanel.stored_result import measuresOf
from DeepImagingPanel.texts import asPlain

NAME, MILLILITERS, MEAN, SD = range(4)
SORT_ROLE = qt.Qt.UserRole
ID_ROLE = qt.Qt.UserRole + 1
NUMBERS = qt.Qt.AlignRight | qt.Qt.AlignVCenter
SWATCH_PIXELS = 12
LEAST_ROWS, MOST_ROWS = 3, 10
HEADER_MARGIN = 8
UNKNOWN = "–"


class SegmentTable:
    """Keeps a QTreeView in step with a segmentation node's segments.

    A check box shows or hides a segment, double-click or Enter centers the slice views on it, Ctrl+C copies.
    """

    def __init__(self, view: Any) -> None:
        self.view = view
        self.node = None
        self.showsEmpty = False
        self._filling = False
        self._model = qt.QStandardItemModel(view)
        self._model.setSortRole(SORT_ROLE)
        self._model.connect("itemChanged(QStandardItem*)", self._onItemChanged)
        view.setModel(self._model)
        view.setIconSize(qt.QSize(SWATCH_PIXELS, SWATCH_PIXELS))
        self._setUpHeader()
        self._addAction(_("Center views on segment"), self.center)
        self._addAction(_("Copy"), self.copy).setShortcut(qt.QKeySequence(qt.QKeySequence.Copy))
        view.connect("activated(QModelIndex)", lambda index: self.center())
        view.connect("doubleClicked(QModelIndex)", lambda index: self.center())

    def show(self, node: Any) -> None:
        """Show the segments of a node, or none; what was selected and sorted stays so where it can."""
        self.node = node
        measures = measuresOf(node) if node is not None else []
        self._filling = True
        if [measure.id for measure in measures] != self._segmentIds():
            self._model.setRowCount(0)
            self._model.setRowCount(len(measures))
        self._setLabels(next((measure.unit for measure in measures), ""))
        rows = self._rowsById()
        for index, measure in enumerate(measures):
            self._write(rows.get(measure.id, index), measure)
        self._filling = False
        header = self.view.header()
        self._model.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())
        self._hideEmpty()

    def emptySegments(self) -> int:
        """Return how many segments have no voxel."""
        return sum(self._isEmpty(row) for row in range(self._model.rowCount()))

    def showEmpty(self, on: bool) -> None:
        """Show, or hide, segments without voxels."""
        self.showsEmpty = on
        self._hideEmpty()

    def copy(self) -> None:
        """Put the selected rows, or all where none is, on the clipboard as text with tabs, as spreadsheets take it."""
        qt.QApplication.clipboard().setText(self.text())

    def text(self) -> str:
        """Return what `copy` copies: a header line, then the rows in the order they are seen."""
        rows = [row for row in range(self._model.rowCount()) if not self._isHidden(row)]
        selected = [row for row in rows if self.view.selectionModel().isSelected(self._model.index(row, NAME))]
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        columns = range(self._model.columnCount())
        writer.writerow([self._model.headerData(column, qt.Qt.Horizontal) for column in columns])
        writer.writerows([[self._model.item(row, c).text() for c in columns] for row in selected or rows])
        return text.getvalue()

    def center(self) -> None:
        """Center the slice views on the current segment."""
        current = self.view.currentIndex()
        if self.node is None or not current.isValid() or self._isEmpty(current.row()):
            return
        position = [0.0, 0.0, 0.0]
        self.node.GetSegmentCenterRAS(self._id(current.row()), position)
        sliceNode = slicer.vtkMRMLSliceNode
        sliceNode.JumpAllSlices(self.node.GetScene(), *position, sliceNode.CenteredJumpSlice)

    def _setUpHeader(self) -> None:
        self._setLabels("")
        header = self.view.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        header.setSortIndicator(-1, qt.Qt.AscendingOrder)  # the bundle's order, until a column is clicked
        self.view.sortingEnabled = True

    def _setLabels(self, unit: str) -> None:
        self._model.setHorizontalHeaderLabels([_("Segment"), _("mL"), f"{_('Mean')} {unit}".strip(), _("SD")])
        for column in (MILLILITERS, MEAN, SD):
            self._model.horizontalHeaderItem(column).setTextAlignment(NUMBERS)

    def _addAction(self, text: str, slot: Any) -> Any:
        action = qt.QAction(text, self.view)
        action.setShortcutContext(qt.Qt.WidgetShortcut)
        action.connect("triggered()", slot)
        self.view.addAction(action)
        return action

    def _write(self, row: int, measure: Measure) -> None:
        self._put(row, NAME, measure.name, measure.name.casefold())
        for column, number in ((MILLILITERS, measure.milliliters), (MEAN, measure.mean), (SD, measure.sd)):
            self._put(row, column, _shown(number), number)
            self._model.item(row, column).setTextAlignment(NUMBERS)
            self._model.item(row, column).setEnabled(measure.voxels > 0)
        first = self._model.item(row, NAME)
        first.setEnabled(measure.voxels > 0)
        told = _("{name}: the box shows or hides it, a double-click goes there").format(name=measure.name)
        first.setToolTip(asPlain(told))  # the name may come with a foreign model
        first.setData(measure.id, ID_ROLE)
        first.setData(qt.QColor.fromRgbF(*measure.color), qt.Qt.DecorationRole)
        first.setCheckable(True)
        visible = self.node.GetDisplayNode().GetSegmentVisibility(measure.id)
        first.setCheckState(qt.Qt.Checked if visible else qt.Qt.Unchecked)

    def _put(self, row: int, column: int, text: str, sortedBy: Any) -> None:
        index = self._model.index(row, column)
        self._model.setData(index, text, qt.Qt.DisplayRole)
        self._model.setData(index, sortedBy, SORT_ROLE)

    def _onItemChanged(self, item: Any) -> None:
        if not self._filling and item.column() == NAME:
            self.node.GetDisplayNode().SetSegmentVisibility(item.data(ID_ROLE), item.checkState() == qt.Qt.Checked)

    def _hideEmpty(self) -> None:
        """Hide what is not to be seen, and make the table as high as its rows, within limits."""
        root = qt.QModelIndex()
        for row in range(self._model.rowCount()):
            self.view.setRowHidden(row, root, self._isEmpty(row) and not self.showsEmpty)
        seen = sum(not self._isHidden(row) for row in range(self._model.rowCount()))
        lineHeight = self.view.fontMetrics().height()
        self.view.header().setFixedHeight(lineHeight + HEADER_MARGIN)
        rowHeight = max(self.view.sizeHintForRow(0), lineHeight)
        rows = min(max(seen, LEAST_ROWS), MOST_ROWS)
        self.view.setFixedHeight(lineHeight + HEADER_MARGIN + rows * rowHeight + 2 * self.view.frameWidth)

    def _isHidden(self, row: int) -> bool:
        return bool(self.view.isRowHidden(row, qt.QModelIndex()))

    def _isEmpty(self, row: int) -> bool:
        return not self._model.item(row, NAME).isEnabled()

    def _id(self, row: int) -> str:
        return str(self._model.item(row, NAME).data(ID_ROLE))

    def _rowsById(self) -> dict[str, int]:
        return {self._id(row): row for row in range(self._model.rowCount()) if self._model.item(row, NAME) is not None}

    def _segmentIds(self) -> Sequence[str]:
        return list(self._rowsById())


def _shown(number: float | None) -> str:
    """Return a number with the digits that mean something; that leaves room for names in a narrow panel."""
    if number is None:
        return UNKNOWN
    size = abs(number)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{number:.{digits}f}"
