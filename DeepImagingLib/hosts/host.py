"""What every host is: a queue of jobs, one of which is being done."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from DeepImagingLib.errors import CancelledError, DeepImagingError, MemoryLimitError, WorkerError
from DeepImagingLib.hosts.handle import Handle
from DeepImagingLib.inference.memory import is_out_of_memory

if TYPE_CHECKING:
    from DeepImagingLib.hosts.job import Job

log = logging.getLogger(__name__)

Course = Iterator[bool]
"""The way of one job, step by step: True where more can be done at once, False where one has to wait for something."""


class Host(ABC):
    """Does jobs one after the other.

    Nothing happens by itself: whoever submits calls `poll` now and then (a GUI's timer), or waits with
    `Handle.result`. Listeners are called from there, never from another thread.
    """

    CANCEL_SECONDS = 2.0
    """How long a job may take to stop, where it can be ended by force."""

    def __init__(self) -> None:
        self._queue: list[Handle] = []
        self._current: Handle | None = None
        self._course: Course = iter(())
        self._polling = False

    def submit(
        self,
        job: Job | Callable[[], Job],
        *,
        name: str = "",
        listener: Callable[[Handle], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Handle:
        """Line up a job.

        Args:
            job: What to do, or what makes it when its turn comes: so that a queued run sees the scene as it is then.
            name: What lists show.
            listener: Called with the handle whenever its state or progress changed; what it raises is logged.
            cancel: Asked again and again while the job runs; it is cancelled where it answers True.
        """
        handle = Handle(self, job, name, listener, cancel)
        self._queue.append(handle)
        return handle

    @property
    def handles(self) -> tuple[Handle, ...]:
        """What is being done, then what waits, in order."""
        return (*([self._current] if self._current else []), *self._queue)

    def move(self, handle: Handle, position: int) -> None:
        """Put a waiting job at that place of the queue, 0 being the next; raises ValueError where it isn't waiting."""
        self._queue.remove(handle)
        self._queue.insert(max(position, 0), handle)

    def withdraw(self, handle: Handle) -> None:
        """Take a waiting job out of the queue; raises ValueError where it isn't waiting."""
        self._queue.remove(handle)

    def cancel_all(self) -> None:
        """Cancel what waits, then what is being done."""
        for handle in reversed(self.handles):
            handle.cancel()

    def poll(self, seconds: float = 0.01) -> bool:
        """Do what can be done now, for about that long.

        Returns:
            True where more could be done at once, False where all is done or has to wait.
        """
        if self._polling:  # a listener let a GUI's timer in
            return False
        self._polling = True
        try:
            return self._advance(time.perf_counter() + seconds)
        finally:
            self._polling = False

    def wait(self) -> None:
        """Go on with the jobs; returns after a moment, or once there is news.

        Raises:
            RuntimeError: A listener waits for the host that calls it.
        """
        if self._polling:
            raise RuntimeError("a listener can't wait for its own host")
        if not self.poll() and self._current:
            self._rest()

    @abstractmethod
    def close(self) -> None:
        """Cancel everything and let go of models and processes. The host can be used again."""

    @abstractmethod
    def _way(self, job: Job, handle: Handle) -> Course:
        """Do the job, step by step, and finish the handle unless a DeepImagingError is raised."""

    @abstractmethod
    def _rest(self) -> None:
        """Sleep for a moment, or until there is news."""

    def _advance(self, end: float) -> bool:
        while True:
            if self._current is None:
                if not self._queue:
                    return False
                self._current = self._queue.pop(0)
                self._course = self._guarded(self._current)
            more = next(self._course, None)
            if more is None:
                self._current = None
            elif not more:
                return False
            if time.perf_counter() > end:
                return True

    def _guarded(self, handle: Handle) -> Course:
        """Walk a job's way; whatever goes wrong ends up in its handle, in one sentence."""
        try:
            yield from self._way(handle.begin(), handle)
        except (Exception, SystemExit) as error:  # foreign code may end the program it is in
            log.debug("a job failed", exc_info=True)
            handle.finish(error=_without_frames(in_one_sentence(error)))
        except KeyboardInterrupt:
            handle.finish(error=cancelled())
            raise


def in_one_sentence(error: BaseException) -> DeepImagingError:
    """Return the error of this library that stands for any error."""
    if isinstance(error, DeepImagingError):
        return error
    if is_out_of_memory(error):
        return MemoryLimitError("The run needs more memory than this machine has; limit it to a region.")
    reason = " ".join(str(error).split())[:300]
    return WorkerError(f"Something unexpected went wrong ({type(error).__name__}: {reason}); nothing was kept.")


def _without_frames(error: DeepImagingError) -> DeepImagingError:
    """Return the error without what it was raised in: that would hold images in memory for as long as it is kept."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def cancelled() -> CancelledError:
    """Return what a cancelled job ends with."""
    return CancelledError("The run was cancelled; nothing was kept.")
