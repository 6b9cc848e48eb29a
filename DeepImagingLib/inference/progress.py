"""Progress out, cancel in: the one object that every stage of a run reports to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from DeepImagingLib.errors import CancelledError


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        stage: What is being done, in words for a user.
        fraction: Share of this stage that is done, 0..1.
        seconds_left: Of this stage, once it can be told.
    """

    stage: str
    fraction: float
    seconds_left: float | None = None


class Monitor:
    """Times the stages of a run, tells how far it is and raises CancelledError where it should stop.

    Args:
        progress: Called with a `Progress` whenever there is news.
        cancel: Asked at each step; the run stops where it answers True.
    """

    def __init__(
        self, progress: Callable[[Progress], None] | None = None, cancel: Callable[[], bool] | None = None
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._cancel = cancel
        self._stage = ""
        self._counted = self._before = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; its seconds add up under `name` in `seconds`."""
        started = time.perf_counter()
        self._stage = name
        self.count()
        self.update(0.0)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self.update(1.0)

    def count(self, done: float = 0.0) -> None:
        """Reckon the seconds left from now on: how long the share took that is `done` says nothing about the rest."""
        self._counted, self._before = time.perf_counter(), done

    def part(self, number: int, count: int) -> Monitor:
        """Return what reports one of `count` equal parts of a stage, from 0 on, and cancels with this one."""
        return Monitor(lambda news: self.update((number + news.fraction) / count))

    @contextmanager
    def aside(self, name: str) -> Iterator[None]:
        """Count the time within under `name` in `seconds`, and not under the stage it is in."""
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + spent
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) - spent

    def ask(self) -> None:
        """Go on unless the user cancelled, which raises CancelledError."""
        if self._cancel is not None and self._cancel():
            raise CancelledError("The run was cancelled; nothing was kept.")

    def update(self, fraction: float) -> None:
        """Report the share of the current stage that is done.

        Raises:
            CancelledError: The user cancelled.
        """
        self.ask()
        if self._progress is None:
            return
        fraction = min(fraction, 1.0)
        elapsed = time.perf_counter() - self._counted
        counted = fraction - self._before
        left = elapsed * (1 - fraction) / counted if counted > 0 else None
        self._progress(Progress(self._stage, fraction, left))
