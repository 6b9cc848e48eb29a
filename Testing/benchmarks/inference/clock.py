"""Seconds by stage, and memory, of the process that asks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Clock:
    """What one process measures of itself.

    Attributes:
        seconds: By stage, each without the stages inside it.
        forward: Seconds inside the network's own calls.
        base: Resident bytes from which memory counts, or 0.
        first_window: When the network was first called, as `time.time()` tells it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.forward = 0.0
        self.first_window: float | None = None
        self._open: list[str] = []
        self._watched: Any = None
        self.base = 0

    def restart(self) -> None:
        self.seconds.clear()
        self.forward = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._open.append(name)
        started = time.perf_counter()
        yield
        took = time.perf_counter() - started
        self._open.pop()
        self.seconds[name] += took
        if self._open:
            self.seconds[self._open[-1]] -= took

    def time_calls(self, thing: Any, name: str) -> None:
        """Time the calls of one object; Python looks `__call__` up in its class, so that it gets a class of its own."""
        kind, clock = type(thing), self

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            with clock.stage(name):
                return kind.__call__(self, *args, **kwargs)

        thing.__class__ = type(kind.__name__, (kind,), {"__call__": call})

    def watch(self, network: Any) -> None:
        """Time the network's own calls, however they come about."""
        if network is self._watched:
            return
        self._watched = network
        entered: list[float] = []

        # Functions, not methods: a copy of the network must tell this clock, and not a copy of it.
        def enter(*_: Any) -> None:
            self.first_window = self.first_window or time.time()
            entered.append(time.perf_counter())

        def leave(*_: Any) -> None:
            self.forward += time.perf_counter() - entered.pop()

        network.register_forward_pre_hook(enter)
        network.register_forward_hook(leave)


def peak_bytes() -> int:
    """Return the highest resident set so far.

    Not by `getrusage`, whose number a new process inherits from the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def restart_peak() -> int:
    """Let the peak start from what is resident now, and return that."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()
