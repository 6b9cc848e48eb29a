"""What a panel shows of any result: notes, where it comes from, and the ways out of the scene."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import DeepImagingError
from DeepImagingPanel import stored_result as stored
from DeepImagingPanel.layouts import load, loadInto
from DeepImagingPanel.provenance_view import ProvenanceView

ICON_PIXELS = 20


class ResultFrame(qt.QWidget):
    """Follows the node that stands for a result, whoever changes it; grey without one.

    A subclass gives the layout of its content, which has an `exportButton`, and fills it in `showContent`. Call
    `clear()` at the end of its constructor, and before the widget goes, as its panel does in `cleanup()`.

    Attributes:
        content: File of the content's layout.
        node: The node that is shown, or None.
        onRemoved: Called after "Remove result"; None where nobody wants to know.
        askPath: Asks where to save, as qt.QFileDialog.getSaveFileName does.
    """

    content = ""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.node: Any = None
        self.onRemoved: Callable[[], None] | None = None
        self.askPath = qt.QFileDialog.getSaveFileName
        self._observations = slicer.util.VTKObservationMixin()
        self._load()
        self._provenance = ProvenanceView(self.ui.provenanceTree)
        self._soon = qt.QTimer()  # many changes at once are one look at the node
        self._soon.setSingleShot(True)
        self._soon.connect("timeout()", self._update)
        self._setUpIcons()
        self._setUpExport()
        self.ui.copyProvenanceButton.connect("clicked()", self._provenance.copy)
        self.ui.removeButton.connect("clicked()", self._remove)

    # --- what a subclass says ---

    def fileKinds(self) -> dict[str, str]:
        """Return ending → what the menu calls it, of the files that a result can be saved to."""
        return {}

    def save(self, chosen: str, ending: str) -> list[Path]:
        """Write the result under the name that was chosen; raises DeepImagingError or OSError where that fails."""
        raise NotImplementedError

    def events(self, node: Any) -> Iterator[tuple[Any, Any, Callable[..., None]]]:
        """Yield what is to be observed of a node: the object, the event and the slot."""
        yield node, vtk.vtkCommand.ModifiedEvent, self.onNodeModified
        yield node.GetScene(), slicer.vtkMRMLScene.NodeRemovedEvent, self._onGone

    def showContent(self) -> None:
        """Show the node as it is now."""

    def notes(self) -> list[str]:
        """Return sentences about the result beside those of the run."""
        return []

    def aboutToRemove(self, node: Any) -> None:
        """Undo what the section itself keeps with the node."""

    # --- what all do ---

    def setNode(self, node: Any) -> None:
        """Show the result that is stored with a node, as in a scene that was opened again."""
        if node is not self.node:
            self.clear()
            self.node = node
            for observed, event, slot in self.events(node) if node is not None else ():
                self._observations.addObserver(observed, event, slot)
        self._update()

    def clear(self) -> None:
        """Show nothing, and let go of the node."""
        self._soon.stop()
        self._observations.removeObservers()
        self.node = None
        self.tell("")
        self._update()

    def onNodeModified(self, caller: Any = None, event: str = "") -> None:
        """Look at the node again, soon."""
        self._soon.start(0)

    def tell(self, trouble: str) -> None:
        """Show one sentence about what went wrong, "" where nothing did."""
        self.ui.messageLabel.text = trouble
        self.ui.messageFrame.visible = bool(trouble)

    def _load(self) -> None:
        frame = load("ResultFrame.ui")
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(frame)
        self.ui = slicer.util.childWidgetVariables(frame)
        loadInto(self.ui, self.ui.contentPlace, self.content)

    def _setUpIcons(self) -> None:
        for label, icon in (
            (self.ui.notesIcon, qt.QStyle.SP_MessageBoxWarning),
            (self.ui.messageIcon, qt.QStyle.SP_MessageBoxCritical),
        ):
            label.setPixmap(self.style().standardIcon(icon).pixmap(qt.QSize(ICON_PIXELS, ICON_PIXELS)))

    def _setUpExport(self) -> None:
        menu = qt.QMenu(self.ui.exportButton)
        for ending, kind in self.fileKinds().items():
            action = qt.QAction(f"{kind} ({ending})…", menu)
            action.connect("triggered()", lambda ending=ending: self._export(ending))
            menu.addAction(action)
        self.ui.exportButton.setMenu(menu)

    def _onGone(self, caller: Any = None, event: str = "") -> None:
        if self.node is not None and self.node.GetScene() is None:
            self.clear()
        elif self.node is not None:
            self._soon.start(0)  # it may have been one of those that belong to it

    def _update(self) -> None:
        """Show everything as the node has it now."""
        self.enabled = self.node is not None
        self.showContent()
        provenance = stored.provenanceOf(self.node) if self.node is not None else {}
        self._provenance.show(provenance)
        self.ui.provenanceButton.visible = bool(provenance)
        told = [*provenance.get("notes", ()), *(self.notes() if self.node is not None else ())]
        self.ui.notesLabel.text = "\n\n".join(told)
        self.ui.notesFrame.visible = bool(told)

    def _remove(self) -> None:
        node = self.node
        self.clear()
        self.aboutToRemove(node)
        scene.remove(node)
        if self.onRemoved is not None:
            self.onRemoved()

    def _export(self, ending: str) -> None:
        self.tell("")
        title, filters = _("Save result"), f"{self.fileKinds()[ending]} (*{ending})"
        chosen = self.askPath(self, title, f"{self.node.GetName()}{ending}", filters)
        if not chosen:
            return
        try:
            self.save(chosen, ending)
        except (DeepImagingError, OSError) as error:
            logging.getLogger(__name__).info("Saving a result failed.", exc_info=True)
            self.tell(str(error))
