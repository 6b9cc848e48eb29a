"""The training under way: it outlives the panel that began it, and whatever panel there is follows its course."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import slicer

from DeepImagingLib.errors import CancelledError
from DeepImagingLib.hosts import Handle
from DeepImagingLib.hosts.training import CURVE, last_saved
from DeepImagingPanel.training_curve import TrainingCurve

PURPOSE = "Training"
"""Of the runner whose worker trains."""
UNDER_WAY = "deepImagingTraining"
"""Attribute of `slicer.modules` with the training under way: a panel that is loaded anew finds it there."""


@dataclass
class Training:
    """A training under way.

    Attributes:
        handle: Of its job.
        output: Its folder.
        before: When its last checkpoint had been written as it was started.
        curve: Its course.
        stopping: Whether the user stopped it.
    """

    handle: Handle
    output: Path
    before: int
    curve: TrainingCurve = field(default_factory=TrainingCurve)
    stopping: bool = False

    @staticmethod
    def current() -> Training | None:
        """Return the one under way, whichever panel began it."""
        return getattr(slicer.modules, UNDER_WAY, None)

    def remember(self) -> None:
        """Let any panel find it."""
        setattr(slicer.modules, UNDER_WAY, self)

    def forget(self) -> None:
        """Let no panel find it any more: it has ended."""
        delattr(slicer.modules, UNDER_WAY)

    def stop(self) -> None:
        """End it as the user wants it."""
        self.stopping = True
        self.handle.cancel()

    def follow(self) -> None:
        """Take over what is new in its course."""
        self.curve.follow(self.output / CURVE)

    @property
    def leavesMore(self) -> bool:
        """Whether it didn't finish, but has something new worth keeping."""
        error = self.handle.error
        closed = isinstance(error, CancelledError) and not self.stopping  # Slicer quits: it can be gone on with
        return error is not None and last_saved(self.output) != self.before and not closed
