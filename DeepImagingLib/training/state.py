"""What a checkpoint holds of a training, so that one that goes on ends as an unbroken one does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from DeepImagingLib.errors import InputError
from DeepImagingLib.training.checkpoint import CHANGED
from DeepImagingLib.training.course import Course


@dataclass(frozen=True)
class Parts:
    """All that changes with the steps of a training, but for its course.

    Attributes:
        network, averaged, optimizer, scheduler, device: Of the `Trainer`.
        schedule: What must be the same where a training goes on, such as the number of steps.
    """

    network: torch.nn.Module
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None
    device: torch.device
    schedule: tuple[str, ...]

    def state(self, course: Course) -> dict[str, Any]:
        """Return the state of the parts, of torch's random numbers and of the course, as a checkpoint holds it."""
        return {
            "made_of": self._made_of,
            "course": course.as_plain(),
            "network": self.network.state_dict(),
            "average": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else {},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def restore(self, state: Mapping[str, Any]) -> Course:
        """Bring the parts into a state that was saved, and return its course.

        Raises:
            InputError: It is the state of other parts.
        """
        if state.get("made_of") != self._made_of:
            raise InputError(CHANGED)
        try:
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise InputError(CHANGED) from error
        if self.scheduler:
            self.scheduler.load_state_dict(dict(state["scheduler"]))
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], self.device)
        return Course.from_plain(state["course"])

    @property
    def _made_of(self) -> list[str]:
        return [type(self.optimizer).__name__, type(self.scheduler).__name__, *self.schedule]
