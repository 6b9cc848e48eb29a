"""What one gets for a submitted job: how far it is, what became of it, and the way to stop it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from DeepImagingLib.errors import CancelledError, DeepImagingError

if TYPE_CHECKING:
    from DeepImagingLib.hosts.host import Host
    from DeepImagingLib.hosts.job import Job
    from DeepImagingLib.inference.progress import Progress


log = logging.getLogger(__name__)


class State(Enum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Handle:
    """A submitted job.

    Attributes:
        name: What lists show.
        state: Where it stands.
        progress: The newest, None before the first.
        error: Why it failed or ended, None where it didn't.
    """

    def __init__(
        self,
        host: Host,
        job: Job | Callable[[], Job],
        name: str,
        listener: Callable[[Handle], None] | None,
        cancel: Callable[[], bool] | None,
    ) -> None:
        self.name = name
        self.state = State.QUEUED
        self.progress: Progress | None = None
        self.error: DeepImagingError | None = None
        self.cancel_by = float("inf")
        self._host = host
        self._job = job
        self._listener = listener
        self._cancel = cancel
        self._value: Any = None

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in (State.DONE, State.FAILED, State.CANCELLED)

    @property
    def cancel_asked(self) -> bool:
        """Whether someone wants it to stop."""
        if self.state is State.RUNNING and self._cancel is not None and self._cancel():
            self.cancel()
        return self.state is State.CANCELLING

    def cancel(self) -> None:
        """Ask it to stop: at once where it is queued; where it runs, the host sees to it."""
        if self.state is State.QUEUED:
            self._host.withdraw(self)
            self.finish(error=CancelledError("The run was cancelled before it began; nothing was kept."))
        elif self.state is State.RUNNING:
            self.state = State.CANCELLING
            self.cancel_by = time.perf_counter() + self._host.CANCEL_SECONDS
            self._tell()

    def result(self, timeout: float | None = None) -> Any:
        """Wait until it has ended and return what the job returned.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes.

        Raises:
            DeepImagingError: What the job raised; CancelledError where it was cancelled; WorkerError where its process
                died.
            TimeoutError: It hasn't ended by then; it goes on.
        """
        end = float("inf") if timeout is None else time.perf_counter() + timeout
        while not self.done:
            if time.perf_counter() > end:
                raise TimeoutError(f"The run hasn't ended after {timeout:g} s; it goes on.")
            self._host.wait()
        if self.error is not None:
            raise self.error
        return self._value

    # --- for hosts ---

    def begin(self) -> Job:
        """Return the job, made now where it was given as something that makes it."""
        self.state = State.RUNNING
        job = self._job if hasattr(self._job, "perform") else self._job()
        self._tell()
        return job

    def report(self, progress: Progress) -> None:
        """Keep the newest progress and tell of it."""
        self.progress = progress
        self._tell()

    def finish(self, value: Any = None, error: DeepImagingError | None = None) -> None:
        """End it, and let go of what it was given."""
        self._value, self.error = value, error
        self._job = _let_go
        cancelled = isinstance(error, CancelledError)
        self.state = State.CANCELLED if cancelled else State.DONE if error is None else State.FAILED
        self._tell()

    def _tell(self) -> None:
        if self._listener is None:
            return
        try:
            self._listener(self)
        except Exception:  # what goes wrong in showing a run is no fault of the run
            log.exception("a listener failed")


def _let_go() -> Job:
    raise RuntimeError("this job has ended")
