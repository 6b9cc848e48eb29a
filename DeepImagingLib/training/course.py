"""What a training remembers of itself, and the clock it goes by."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DeepImagingLib.training.pace import Pace


@dataclass
class Course:
    """How a run went so far, in plain values that a checkpoint holds.

    Attributes:
        pace: How it goes through the schedule.
        half: Steps are computed in bfloat16.
        step: Steps that are done.
        seconds: That they took, validations included.
        validation_seconds: That the last validation took.
        skipped: Steps whose gradient wasn't finite.
        best: Highest Dice; `best_step`: when.
        fruitless: Validations since.
        losses: Since the last row.
        rows: Of the curve.
        earlier: What a stage before told of itself.
    """

    pace: Pace
    half: bool
    step: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    skipped: int = 0
    best: float = -1.0
    best_step: int = 0
    fruitless: int = 0
    losses: list[float] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)
    earlier: dict[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """Return it as a mapping."""
        return {**vars(self), "pace": vars(self.pace)}

    @staticmethod
    def from_plain(told: Mapping[str, Any]) -> Course:
        """Return what `as_plain` told."""
        return Course(**{**told, "pace": Pace(**told["pace"])})

    def add_row(self, learning_rate: float) -> None:
        """Add a row to the curve, the loss in it the mean since the last one."""
        row = {"step": float(self.step), "minutes": self.seconds / 60, "learning rate": learning_rate}
        if self.losses:
            row["loss"] = float(np.mean(self.losses))
        self.losses.clear()
        self.rows.append(row)

    def judge(self, measured: Mapping[str, float], score: float) -> bool:
        """Put what was measured into the last row; tell whether the score is the best so far."""
        self.rows[-1].update(measured)
        self.fruitless += 1
        if score <= self.best:
            return False
        self.best, self.best_step, self.fruitless = score, self.step, 0
        return True


class Clock:
    """Counts the seconds of a run, on top of those before it was stopped; `last_aside` are not its steps'."""

    def __init__(self, before: float) -> None:
        self._begun = time.monotonic() - before
        self._started, self._aside = time.monotonic(), 0.0
        self.last_aside = 0.0

    def __call__(self) -> float:
        """Return the seconds of the whole run."""
        return time.monotonic() - self._begun

    def of_steps(self) -> float:
        """Return the seconds since `start`, without what was aside."""
        return time.monotonic() - self._started - self._aside

    def start(self) -> None:
        """Begin to count steps."""
        self._started, self._aside = time.monotonic(), 0.0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Count what is done within as no step."""
        begun = time.monotonic()
        yield
        self.last_aside = time.monotonic() - begun
        self._aside += self.last_aside
