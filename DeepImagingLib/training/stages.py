"""From coarse to fine: what a network learned on coarse images becomes the inner part of a finer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.training.trainer import Trainer

TITLE = "coarse training"


@dataclass
class CoarseStage:
    """A training that comes before another.

    Steps on coarse images are several times cheaper, and teach where organs lie sooner than steps on fine ones do: a
    U-Net grows from its inside out, as networks for large pictures did (Karras et al., ICLR 2018).

    Attributes:
        trainer: Of the coarse network, without a `bundle`.
        taken: Module of the finer network → module of the coarse one whose weights it takes over.
        share: Of the time, where that is limited.
    """

    trainer: Trainer
    taken: Mapping[str, str]
    share: float = 0.25

    def run(self, network: torch.nn.Module, minutes: float | None, resume: bool, monitor: Monitor) -> dict[str, Any]:
        """Train, hand the weights over to `network`, and return what is worth telling of the training.

        Raises:
            InputError: The networks don't fit together; nothing was trained.
        """
        trainer = self.trainer
        self._hand_over(trainer.network, network)  # what can't be handed over is better told before the training
        trainer.minutes = minutes and minutes * self.share
        trainer.resume, trainer.title = resume, TITLE
        trainer.run(monitor)
        self._hand_over(trainer.best_network(), network)
        course = trainer.course
        return {"steps": course.step, "minutes": round(course.seconds / 60, 1), "dice": round(course.best, 3)}

    def _hand_over(self, coarse: torch.nn.Module, fine: torch.nn.Module) -> None:
        for target, source in self.taken.items():
            try:
                fine.get_submodule(target).load_state_dict(coarse.get_submodule(source).state_dict())
            except (AttributeError, RuntimeError) as error:
                raise InputError(
                    f"`{source}` of the coarse network doesn't fit into `{target}` of the finer one; mend the recipe's "
                    "`taken`."
                ) from error
