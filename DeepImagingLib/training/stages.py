"""What a training begins with: a coarser network as the inner part of a finer one, or another bundle's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from DeepImagingLib.bundles.bundle import load_bundle
from DeepImagingLib.bundles.densenet import HEAD, read_torchvision
from DeepImagingLib.errors import InputError
from DeepImagingLib.training.transfer import transfer

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
        bundle: Its folder or name.
        labels: Number of each channel of the network that is trained → name.
        head: Weights that have a row for each label, with the axes, as `transfer.head_axes` tells; without any, the
            bundle's network has to be the one that is trained.
        trust: SHA-256 of the bundle's content, where it has to be trusted.
    """

    bundle: str
    labels: Mapping[int | str, str]
    head: Mapping[str, Sequence[int]] = field(default_factory=dict)
    trust: str | None = None
    trainer: None = None

    def run(self, network: torch.nn.Module, minutes: float | None, resume: bool, monitor: Monitor) -> dict[str, Any]:
        """Take them over, and return what the bundle tells of itself, and which weights are new.

        Raises:
            BundleError: There is no such bundle, or it can't be built.
            InputError: Its weights don't fit.
        """
        bundle = load_bundle(self.bundle, self.trust)
        weights = bundle.build().network.state_dict()
        before = [bundle.labels[number] for number in sorted(bundle.labels)]
        after = [self.labels[number] for number in sorted(self.labels, key=int)]
        told = transfer(network, weights, self.head, before, after)
        if not told.taken or (told.new and not self.head):
            raise InputError(f"The weights of {bundle.name} don't fit the network of the recipe.")
        facts = {"bundle": bundle.name, "version": bundle.version, "sha256": bundle.sha256, "new": list(told.unknown)}
        return {"began_with": {**facts, "training": bundle.metadata.get("training")}}


@dataclass
class TorchvisionWeights:
    """The weights of a DenseNet by torchvision's names, such as those of ImageNet; another head begins at random.

    Attributes:
        file: That holds them (see `bundles.densenet.read_torchvision`).
    """

    file: str
    trainer: None = None

    def run(self, network: torch.nn.Module, minutes: float | None, resume: bool, monitor: Monitor) -> dict[str, Any]:
        """Take them over, and return which weights are new.

        Raises:
            BundleError: The file can't be read.
            InputError: They don't fit.
        """
        told = transfer(network, read_torchvision(Path(self.file)), {}, (), ())
        if strange := [name for name in told.new if not name.startswith(HEAD)]:
            raise InputError(f"The weights don't fit the recipe's network: {strange[0]}, {told.new[strange[0]]}.")
        return {"began_with": {"weights": Path(self.file).name, "new": list(told.new)}}


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
