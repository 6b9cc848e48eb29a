"""One worker for the whole application, shared by all panels, and driven by a timer while there is work."""

from __future__ import annotations

import logging
from collections.abc import Callable

import qt
import slicer

from DeepImagingLib.hosts import Handle, State, WorkerHost
from DeepImagingPanel.scene_run import SceneRun

log = logging.getLogger(__name__)

REST_MS = 20
ATTRIBUTE = "deepImagingRunner"


class Runner:
    """Lines up runs and small jobs, and tells panels when something changed.

    Attributes:
        host: Where jobs are done.
        runs: What is being done and what waits, in that order, after what has ended since the list was last empty.
    """

    def __init__(self) -> None:
        self.host = WorkerHost()
        self.runs: list[SceneRun] = []
        self._listeners: list[Callable[[], None]] = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._goOn)
        slicer.app.connect("aboutToQuit()", self.close)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a run or the queue changed."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Undo `listen`; does nothing where it isn't listening."""
        self._listeners = [one for one in self._listeners if one != listener]

    @property
    def busy(self) -> bool:
        """Whether something is being done or waits."""
        return bool(self.host.handles)

    def start(self, run: SceneRun) -> SceneRun:
        """Line up a run."""
        if all(one.done for one in self.runs):
            self.runs = []
        self.runs.append(run)
        run.submit(self.host, self._tell)
        self._wake()
        return run

    def do(self, job: object, listener: Callable[[Handle], None], name: str = "") -> Handle:
        """Line up a small job, before the runs that wait; it isn't listed."""
        handle = self.host.submit(job, name=name, listener=lambda handle: self._tell(lambda: listener(handle)))
        self.host.move(handle, 0)  # somebody waits for it in front of the panel
        self._wake()
        return handle

    def move(self, run: SceneRun, steps: int) -> None:
        """Let a waiting run change places: -1 has it done earlier, 1 later."""
        waiting = [one for one in self.runs if one.state is State.QUEUED]
        place = waiting.index(run) + steps
        if not 0 <= place < len(waiting):
            return
        other = waiting[place]
        queued = [handle for handle in self.host.handles if handle.state is State.QUEUED]
        self.host.move(run.handle, queued.index(other.handle))
        here, there = self.runs.index(run), self.runs.index(other)
        self.runs[here], self.runs[there] = other, run
        self._tell()

    def cancelAll(self) -> None:
        """Cancel what waits, then what is being done."""
        for run in reversed(self.runs):
            run.cancel()

    def close(self) -> None:
        """Cancel everything and end the worker, with the models it holds; the next run starts another."""
        self.cancelAll()
        self.host.close()
        self._tell()

    def _wake(self) -> None:
        self._timer.start(0)
        self._tell()

    def _goOn(self) -> None:
        for run in self.runs:
            run.checkVolumes()
        more = self.host.poll()
        if self.busy:
            self._timer.start(0 if more else REST_MS)
        else:
            self._tell()  # the end of the last job was told while the host still had it

    def _tell(self, first: Callable[[], None] | None = None) -> None:
        """Tell everyone; what goes wrong in one panel must not stop the runs of others."""
        for listener in [*([first] if first else []), *self._listeners]:
            try:
                listener()
            except Exception:
                log.exception("a panel could not show what changed")


def current(purpose: str = "") -> Runner:
    """Return the application's runner, made at the first call; it is kept where a reloaded panel finds it.

    Args:
        purpose: What takes hours, as training does, has a worker of its own, so that runs needn't wait for it.
    """
    if not hasattr(slicer.modules, ATTRIBUTE + purpose):
        setattr(slicer.modules, ATTRIBUTE + purpose, Runner())
    return getattr(slicer.modules, ATTRIBUTE + purpose)


def unlisten(listener: Callable[[], None], purpose: str = "") -> None:
    """Undo `listen` where there is a runner: a panel that goes must not make one."""
    if hasattr(slicer.modules, ATTRIBUTE + purpose):
        getattr(slicer.modules, ATTRIBUTE + purpose).unlisten(listener)


def discard(purpose: str = "") -> None:
    """End the application's runner: what is loaded after this makes its own, of its own classes."""
    if hasattr(slicer.modules, ATTRIBUTE + purpose):
        getattr(slicer.modules, ATTRIBUTE + purpose).close()
        delattr(slicer.modules, ATTRIBUTE + purpose)
