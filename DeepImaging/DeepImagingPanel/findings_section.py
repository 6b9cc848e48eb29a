"""What a panel shows of detections: the findings to click through and to judge, beside what any result has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.scene import Finding, Review
from DeepImagingPanel.finding_files import fileKinds, save
from DeepImagingPanel.findings_table import FindingsTable
from DeepImagingPanel.overlay_view import OverlayView
from DeepImagingPanel.quietly import setQuietly
from DeepImagingPanel.result_frame import ResultFrame
from DeepImagingPanel.table_text import asText


class FindingsSection(ResultFrame):
    """Follows one table node of findings; keys N and P go through them, A and X accept and reject."""

    content = "FindingsContent.ui"

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        ui = self.ui
        self._table = FindingsTable(ui.findingsView, self._goTo)
        self._overlay = OverlayView(ui)
        ui.thresholdSlider.connect("valueChanged(double)", self._onThreshold)
        ui.copyButton.connect("clicked()", self.copy)
        self._addKey(qt.QKeySequence(qt.QKeySequence.Copy), self.copy, qt.Qt.WidgetWithChildrenShortcut)
        for button, key, action in (
            (ui.previousButton, "P", lambda: self._table.go(-1)),
            (ui.nextButton, "N", lambda: self._table.go(1)),
            (ui.acceptButton, "A", lambda: self._judge(Review.ACCEPTED)),
            (ui.rejectButton, "X", lambda: self._judge(Review.REJECTED)),
        ):
            button.connect("clicked()", action)
            self._addKey(qt.QKeySequence(key), action, qt.Qt.WindowShortcut)  # while one looks at the views, too
        self.clear()

    def fileKinds(self) -> dict[str, str]:
        """Return the files that findings can be saved to."""
        return fileKinds()

    def save(self, chosen: str, ending: str) -> list[Path]:
        """Write the findings, their boxes or their pictures."""
        return save(self.node, chosen, ending)

    def events(self, node: Any) -> Iterator[tuple[Any, Any, Callable[..., None]]]:
        """Yield what is to be observed; boxes may be moved with the scan they stand on."""
        yield from super().events(node)
        for finding in scene.findings(node):
            yield finding.node, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self.onNodeModified

    def clear(self) -> None:
        """Show nothing, and let go of the node and of the place in its list."""
        self._table.forget()
        super().clear()

    def showContent(self) -> None:
        """Show the findings at or above the threshold, as they are in the scene now."""
        every = scene.relist(self.node) if self.node is not None else []
        if self.node is not None:
            setQuietly(self.ui.thresholdSlider, "value", scene.threshold_of(self.node))
        threshold = scene.threshold_of(self.node) if self.node is not None else 0.0
        shown = [finding for finding in every if finding.detection.score >= threshold]
        self._table.show(shown)
        self.ui.countLabel.text = _counted(len(shown), len(every)) if self.node is not None else ""
        self._overlay.show(self.node)
        self._showButtons()

    def notes(self) -> list[str]:
        """Tell where there were too many boxes to show, or no places."""
        return [self.node.GetDescription()] if self.node.GetDescription() else []

    def copy(self) -> None:
        """Put the table on the clipboard as text with tabs, as spreadsheets take it."""
        if self.node is not None:
            qt.QApplication.clipboard().setText(asText(self.node.GetTable()))

    def _addKey(self, keys: Any, action: Any, context: Any) -> None:
        shortcut = qt.QShortcut(self)
        shortcut.setKey(keys)
        shortcut.setContext(context)
        shortcut.connect("activated()", action)

    def _onThreshold(self, value: float) -> None:
        if self.node is not None:
            scene.set_threshold(self.node, value)
            self._update()

    def _goTo(self, finding: Finding) -> None:
        scene.jump(finding.node)
        self._showButtons()

    def _judge(self, review: Review) -> None:
        """Say this of the finding that is chosen, or take it back where that was said already."""
        finding = self._table.current
        if finding is not None:
            scene.set_review(self.node, finding.node, Review.NONE if finding.review is review else review)
            self._update()

    def _showButtons(self) -> None:
        current = self._table.current
        for button, review in ((self.ui.acceptButton, Review.ACCEPTED), (self.ui.rejectButton, Review.REJECTED)):
            button.enabled = current is not None
            setQuietly(button, "checked", current is not None and current.review is review)
        self.ui.previousButton.enabled = self._table.has(-1)
        self.ui.nextButton.enabled = self._table.has(1)


def _counted(shown: int, every: int) -> str:
    if not every:
        return _("Nothing was found.")
    if not shown:
        return _("No finding has this score; there are {count} with a lower one.").format(count=every)
    return _("{shown} of {count} findings are shown.").format(shown=shown, count=every)
