"""The table of the scans of a scene, each beside the segmentation that is learnt from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib import scene


class CasesTable:
    """Fills a table with volumes and a choice of segmentation each.

    Args:
        table: The widget.
        changed: Called when the user chooses another segmentation.
    """

    def __init__(self, table: Any, changed: Callable[[], None]) -> None:
        self._table, self._changed = table, changed
        self._seen: tuple[list[Any], list[Any]] = ([], [])
        self._choices: list[tuple[Any, Any]] = []
        self._byHand: dict[Any, Any] = {}
        table.setHorizontalHeaderLabels([_("Scan"), _("Segmentation")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.verticalHeader().hide()

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """The volumes with the segmentations chosen for them."""
        outlines = self._seen[1]
        rows = [(volume, choice.currentIndex - 1) for volume, choice in self._choices]
        return [(volume, outlines[index]) for volume, index in rows if index >= 0]

    def lookAtScene(self) -> bool:
        """Show what the scene holds now; tells whether that is something else than before."""
        found, outlines = scene.scans(slicer.mrmlScene), scene.outlines(slicer.mrmlScene)
        if (found, outlines) == self._seen:
            return False
        volumes = [volume for volume, _segmentation in found]
        self._seen = found, outlines
        kept = [(volume, one) for volume, one in self._byHand.items() if volume in volumes]
        self._byHand = {volume: one for volume, one in kept if one is None or one in outlines}
        self._fill()
        return True

    def select(self, volume: Any) -> None:
        """Select the row of a volume."""
        self._table.selectRow([each for each, _choice in self._choices].index(volume))

    def _fill(self) -> None:
        """Show each scan with its segmentation: what the user chose stays, the others have what fits."""
        found, outlines = self._seen
        self._table.setRowCount(len(found))
        self._choices = []
        for row, (volume, fitting) in enumerate(found):
            name = qt.QTableWidgetItem(volume.GetName())
            name.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            self._table.setItem(row, 0, name)
            choice = qt.QComboBox()
            choice.addItem(_("(left out)"))
            for one in outlines:
                choice.addItem(one.GetName())
            chosen = self._byHand.get(volume, fitting)
            choice.currentIndex = 1 + outlines.index(chosen) if chosen is not None else 0
            choice.connect("currentIndexChanged(int)", lambda index, volume=volume: self._choose(volume, index))
            self._table.setCellWidget(row, 1, choice)
            self._choices.append((volume, choice))

    def _choose(self, volume: Any, index: int) -> None:
        self._byHand[volume] = self._seen[1][index - 1] if index > 0 else None
        self._changed()
