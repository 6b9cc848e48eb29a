"""Apply and Cancel, how far a run is, what went wrong, and the queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib.errors import CancelledError
from DeepImagingLib.hosts import State
from DeepImagingLib.inference.progress import Progress
from DeepImagingPanel import runner
from DeepImagingPanel.scene_run import SceneRun
from DeepImagingPanel.texts import asPlain

LONG_SECONDS = 90
FULL = 1000


class RunSection:
    """Shows the application's runs; Apply and Cancel are about those of one module."""

    def __init__(self, ui: Any, owner: str, start: Callable[[], None], ended: Callable[[SceneRun], None]) -> None:
        self._ui = ui
        self._owner = owner
        self._start = start
        self._ended = ended
        self._known: list[SceneRun] = []
        self._listed: list[str] = []
        self._reason = ""
        ui.applyButton.connect("clicked()", self._apply)
        ui.queueButton.connect("clicked()", start)
        ui.queueUpButton.connect("clicked()", lambda: self._move(-1))
        ui.queueDownButton.connect("clicked()", lambda: self._move(1))
        ui.queueCancelButton.connect("clicked()", lambda: self._chosen().cancel())
        ui.queueCancelAllButton.connect("clicked()", lambda: runner.current().cancelAll())
        ui.queueList.connect("currentRowChanged(int)", self._choose)
        self.say("")
        self.refresh()

    @property
    def mine(self) -> list[SceneRun]:
        """The module's runs that haven't ended."""
        return [run for run in runner.current().runs if run.owner == self._owner and not run.done]

    def setReason(self, reason: str) -> None:
        """Say why nothing can be started, "" where it can."""
        self._reason = reason
        self._showButtons()

    def say(self, text: str) -> None:
        """Show one sentence below the buttons."""
        self._ui.messageLabel.text = text
        self._ui.messageLabel.visible = bool(text)

    def refresh(self) -> None:
        """Show what has changed."""
        self._noticeEnded()
        self._showButtons()
        self._showProgress()
        self._showQueue()

    def _apply(self) -> None:
        if self.mine:
            self.mine[0].cancel()
        else:
            self._start()

    def _noticeEnded(self) -> None:
        runs = runner.current().runs
        for run in runs:
            if run.owner == self._owner and run.done and run not in self._known:
                self._known.append(run)
                self.say(str(run.error or ""))
                self._ended(run)
        self._known = [run for run in self._known if run in runs]

    def _showButtons(self) -> None:
        ui, running = self._ui, bool(self.mine)
        ui.applyButton.text = _("&Cancel") if running else _("&Apply")
        ui.applyButton.enabled = self.mine[0].state is not State.CANCELLING if running else not self._reason
        doing = _("Stop the run; the scene stays as it is.") if running else _("Run the model on the chosen volume.")
        ui.applyButton.toolTip = doing if running else asPlain(self._reason) or doing
        ui.queueButton.visible = running
        ui.queueButton.enabled = not self._reason
        ui.reasonLabel.text = self._reason
        ui.reasonLabel.visible = bool(self._reason) and not running

    def _showProgress(self) -> None:
        ui, mine = self._ui, self.mine
        ui.progressBar.visible = ui.stageLabel.visible = bool(mine)
        if not mine:
            return
        told = mine[0].progress if mine[0].state is not State.QUEUED else None
        ui.stageLabel.text = _stage(mine[0], told)
        known = told is not None and told.fraction > 0
        ui.progressBar.maximum = FULL if known else 0
        ui.progressBar.value = round(FULL * told.fraction) if known else 0

    # --- the queue ---

    def _showQueue(self) -> None:
        ui, runs = self._ui, runner.current().runs
        lines = [f"{run.name} – {_state(run)}" for run in runs]
        if lines != self._listed:
            row, self._listed = ui.queueList.currentRow, lines
            ui.queueList.blockSignals(True)
            ui.queueList.clear()
            for run, line in zip(runs, lines):
                ui.queueList.addItem(line)
                ui.queueList.item(ui.queueList.count - 1).setToolTip(asPlain(str(run.error or line)))
            ui.queueList.currentRow = min(row, len(runs) - 1)
            ui.queueList.blockSignals(False)
        ui.queueWidget.visible = len(runs) > 1
        self._showQueueButtons()

    def _showQueueButtons(self) -> None:
        ui, chosen = self._ui, self._chosen()
        waiting = [run for run in runner.current().runs if run.state is State.QUEUED]
        ui.queueUpButton.enabled = chosen in waiting[1:]
        ui.queueDownButton.enabled = chosen in waiting[:-1]
        ui.queueCancelButton.enabled = chosen is not None and not chosen.done
        goesOn = any(not run.done for run in runner.current().runs)
        for button in (ui.queueUpButton, ui.queueDownButton, ui.queueCancelButton, ui.queueCancelAllButton):
            button.visible = goesOn

    def _chosen(self) -> SceneRun | None:
        runs, row = runner.current().runs, self._ui.queueList.currentRow
        return runs[row] if 0 <= row < len(runs) else None

    def _choose(self, row: int) -> None:
        self._showQueueButtons()
        chosen = self._chosen()
        if chosen is not None and chosen.state is State.DONE and chosen.owner == self._owner:
            self._ended(chosen)

    def _move(self, steps: int) -> None:
        run = self._chosen()
        runner.current().move(run, steps)
        self._ui.queueList.currentRow = runner.current().runs.index(run)


def _stage(run: SceneRun, told: Progress | None) -> str:
    if run.state is State.CANCELLING:
        return _("Stopping …")
    if run.state is State.QUEUED and len(runner.current().host.handles) > 1:
        return _("Waiting for the runs before it …")
    if told is None:
        return _("Starting …")
    stage = _stageNames().get(told.stage, told.stage)
    if told.seconds_left is None or told.seconds_left < 1:
        return _("{stage} …").format(stage=stage)
    return _("{stage}, {time} left").format(stage=stage, time=_duration(told.seconds_left))


def _stageNames() -> dict[str, str]:
    """Return what a user calls the stages that the library tells of."""
    return {
        "Starting": _("Starting"),
        "Sending the images": _("Sending the images"),
        "Loading libraries": _("Starting"),
        "Taking the images": _("Checking the input"),
        "Checking the input": _("Checking the input"),
        "Loading the model": _("Loading the model"),
        "Preprocessing": _("Preparing the images"),
        "Network": _("Computing"),
        "Post-processing": _("Finishing the result"),
        "Collecting": _("Finishing the result"),
    }


def _duration(seconds: float) -> str:
    if seconds < LONG_SECONDS:
        return _("about {count} s").format(count=round(seconds))
    return _("about {count} min").format(count=round(seconds / 60))


def _state(run: SceneRun) -> str:
    if isinstance(run.error, CancelledError):
        return _("cancelled")
    return {
        State.QUEUED: _("waiting"),
        State.RUNNING: _("running"),
        State.CANCELLING: _("stopping"),
        State.DONE: _("done"),
    }.get(run.state, _("failed"))
