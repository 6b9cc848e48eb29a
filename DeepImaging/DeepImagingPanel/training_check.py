"""The check before a training: all its scans read, what is wrong with them, and what would be trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from DeepImagingLib.errors import CancelledError
from DeepImagingLib.hosts import Handle, State
from DeepImagingLib.hosts.training import Order, Outline
from DeepImagingPanel.scene_scans import SceneScans
from DeepImagingPanel.training_choice import TrainingChoice


class TrainingCheck:
    """Writes the scans of the scene, has all of them read, and shows what is found.

    Args:
        ui: The panel's widgets.
        logic: Of the module: writes and checks.
        choice: What is chosen.
        say: Shows a sentence; "" takes it away.
        told: Called whenever something changed.

    Attributes:
        order: What is, or was, checked.
        scans: What was written of the scene for it.
        handle: Of the check under way.
        passed: Whether what was checked can be trained.
    """

    def __init__(
        self, ui: Any, logic: Any, choice: TrainingChoice, say: Callable[[str], None], told: Callable[[], None]
    ) -> None:
        self._ui, self._logic, self._choice, self._say, self._told = ui, logic, choice, say, told
        self.handle: Handle | None = None
        self._stale = False
        self._outline: Outline | None = None
        ui.problemsList.connect("currentRowChanged(int)", self._showCase)
        self.forget()

    def begin(self) -> None:
        """Check what is chosen; raises InputError where that is nothing."""
        order = self._choice.order()
        self.forget()
        self.order, self._stale = order, False
        if self._choice.fromScene:
            self.scans = self._logic.write(self._choice.pairs, order.output, self._onWritten)
            self.handle = self.scans.handle
        else:
            self.handle = self._logic.check(order, self._onChecked)

    def makeVoid(self) -> None:
        """Stop the check, if one is under way: something else is chosen now."""
        self._stale = True
        if self.handle is not None:
            self.handle.cancel()

    def leave(self) -> None:
        """Stop the check, if one is under way, and hear no more of it."""
        handle, self.handle = self.handle, None
        if handle is not None:
            handle.cancel()

    def reset(self) -> None:
        """Ask for another check before the next training."""
        self.passed = False
        self.order: Order | None = None
        self.scans: SceneScans | None = None

    def forget(self) -> None:
        """Forget the check, and take away what is shown of it, and of a training that went before."""
        self.reset()
        self._ui.resultCollapsibleButton.collapsed = True
        self._ui.problemsList.clear()
        self._ui.problemsList.visible = self._ui.planText.visible = False
        self._say("")

    # --- what comes back ---

    def _onWritten(self, handle: Handle) -> None:
        if self.handle is None:  # the panel has gone
            return
        self.handle = handle
        if self.scans.done:
            cancelled, problem = handle.state is State.CANCELLED, self.scans.problem
            self.handle = None
            if self._stale or cancelled or problem:
                self._drop(problem)
            else:
                self.handle = self._logic.check(self.order, self._onChecked)
        self._told()

    def _onChecked(self, handle: Handle) -> None:
        if self.handle is not handle:  # the panel has gone
            return
        if handle.done:
            self.handle = None
            cancelled = isinstance(handle.error, CancelledError)
            if self._stale or handle.error is not None:
                self._drop("" if cancelled else str(handle.error or ""))
            else:
                self._show(handle.result())
        self._told()

    def _drop(self, problem: str) -> None:
        """Forget a check that failed, was stopped, or was of something else."""
        self.forget()
        self._say(_("Something was changed during the check; check again.") if self._stale else problem)

    # --- what is shown ---

    def _show(self, outline: Outline) -> None:
        self._outline = outline
        for text, _place, fatal in outline.problems:
            self._ui.problemsList.addItem(text if fatal else _("Note: {text}").format(text=text))
        self._ui.problemsList.visible = bool(outline.problems)
        if any(fatal for _text, _place, fatal in outline.problems):
            self._say(_("Nothing can be trained with these scans yet; see the list."))
            return
        counts = {part: sum(split == part for _name, split in outline.cases) for part in ("train", "validation")}
        lines = [
            _("{train} scans to learn from, {validation} kept back to measure on.").format(**counts),
            _("New: {names}.").format(names=", ".join(outline.new) or _("nothing")),
            *(f"{key}: {value} ({reason})" for key, value, reason in outline.plan),
        ]
        self.passed = True
        self._ui.planText.plainText = "\n".join(lines)
        self._ui.planText.visible = True

    def _showCase(self, row: int) -> None:
        """Show the scan that a line of the list is about."""
        place = self._outline.problems[row][1] if row >= 0 else -1
        pairs = self._choice.pairs
        if 0 <= place < len(pairs):
            slicer.util.setSliceViewerLayers(background=pairs[place][0], fit=True)
            self._choice.cases.select(pairs[place][0])
