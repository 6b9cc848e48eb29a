"""What a training begins with: a coarser network as the inner part of a finer one, or another bundle's weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from DeepImagingLib.bundles.find import find_bundle
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.errors import InputError
from DeepImagingLib.training import checkpoint

if TYPE_CHECKING:
    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.training.trainer import Trainer

TITLE = "coarse training"


class Stage(Protocol):
    """What comes before a training; `trainer` is its own, where it trains."""

    trainer: Trainer | None

    def run(self, network: torch.nn.Module, minutes: float | None, resume: bool, monitor: Monitor) -> dict[str, Any]:
        """Give `network` the weights to begin with, and return what is worth telling of them."""


@dataclass
class EarlierWeights:
    """The weights of a bundle, to go on from.

    Attributes:
        bundle: Its folder or name; its network has the shape of the one that is trained.
    """

    bundle: str
    trainer: None = None

    def run(self, network: torch.nn.Module, minutes: float | None, resume: bool, monitor: Monitor) -> dict[str, Any]:
        """Load them, and return their hash and what the bundle tells of their training.

        Raises:
            BundleError: There is no such bundle.
            InputError: Its weights can't be read, or don't fit.
        """
        root = find_bundle(self.bundle)
        try:
            network.load_state_dict(checkpoint.load(root / "models" / "model.pt"))
        except (AttributeError, RuntimeError, TypeError) as error:
            raise InputError(f"The weights of {root.name} don't fit the network of the recipe.") from error
        told = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
        facts = {"bundle": root.name, "version": told.get("version"), "sha256": fingerprint(root)}
        return {"began_with": {**facts, "training": told.get("training")}}


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
        facts = {"steps": course.step, "minutes": round(course.seconds / 60, 1), "dice": round(course.best, 3)}
        return {"coarse_stage": facts}

    def _hand_over(self, coarse: torch.nn.Module, fine: torch.nn.Module) -> None:
        for target, source in self.taken.items():
            try:
                fine.get_submodule(target).load_state_dict(coarse.get_submodule(source).state_dict())
            except (AttributeError, RuntimeError) as error:
                raise InputError(
                    f"`{source}` of the coarse network doesn't fit into `{target}` of the finer one; mend the recipe's "
                    "`taken`."
                ) from error
