"""Dice of a network on held-out cases, case by case and label by label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from monai.metrics import compute_dice

from DeepImagingLib.training.precision import autocast, laid_out

MEAN = "mean"
KEPT = " (agreement with the earlier model)"
RESAMPLES = 1000

Inferer = Callable[[torch.Tensor, torch.nn.Module], Any]


class Measured(Protocol):
    """What was measured on a set of cases."""

    def means(self) -> dict[str, float]:
        """Return figures by name; `MEAN` is the one that counts."""

    def decided(self) -> dict[str, Any]:
        """Return what a bundle's metadata is to hold that follows from it; nothing where there are too few cases."""


class Measure(Protocol):
    """Measures a network; arguments as those of `measure`."""

    def __call__(
        self,
        network: torch.nn.Module,
        cases: Items,
        labels: Mapping[int, str],
        inferer: Any,
        device: torch.device,
        half: bool,
        tell: Callable[[float], None],
        /,
    ) -> Measured: ...


class Items(Protocol):
    """A dataset: items by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Scores:
    """What was measured.

    Attributes:
        labels: Names of the labels, without the background.
        dice: (cases, labels), NaN where a case doesn't have the label.
        kept: Labels whose truth is what an earlier model found.
    """

    labels: tuple[str, ...]
    dice: npt.NDArray[np.float64]
    kept: frozenset[str] = frozenset()

    def means(self) -> dict[str, float]:
        """Return the mean of each label over the cases that have it, and the mean of these but for those kept."""
        columns = zip(self.labels, self.dice.T, strict=True)
        means = {name: float(np.nanmean(column)) for name, column in columns if not np.isnan(column).all()}
        drawn = [value for name, value in means.items() if name not in self.kept]
        told = {f"{name}{KEPT}" if name in self.kept else name: value for name, value in means.items()}
        return told | {MEAN: float(np.mean(drawn)) if drawn else 0.0}

    def decided(self) -> dict[str, Any]:
        """Return nothing: masks need no threshold."""
        return {}

    def intervals(self, subjects: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Return 95 % intervals of the means, by drawing subjects with replacement (percentile bootstrap, seeded).

        Args:
            subjects: Whose each case is.
        """
        names = sorted(set(subjects))
        rows = [np.flatnonzero([subject == name for subject in subjects]) for name in names]
        rng = np.random.default_rng(0)
        draws = [rng.integers(0, len(rows), len(rows)) for _ in range(RESAMPLES)]
        found: dict[str, list[float]] = {}
        for draw in draws:
            again = replace(self, dice=self.dice[np.concatenate([rows[n] for n in draw])])
            for name, value in again.means().items():
                found.setdefault(name, []).append(value)
        ends = {name: np.percentile(values, (2.5, 97.5)) for name, values in found.items()}
        return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def measure(
    network: torch.nn.Module,
    cases: Items,
    labels: Mapping[int, str],
    inferer: Inferer,
    device: torch.device,
    half: bool,
    tell: Callable[[float], None],
) -> Scores:
    """Return the Dice of each case and label.

    Args:
        network: Gives (1, K, ...) logits.
        cases: Items with "image" (1, ...) and "label" (1, ...).
        labels: Number → name; 0 is the background.
        inferer: Runs the network over a whole image.
        device: Where the network is.
        half: Compute in bfloat16.
        tell: Called with the share of the cases that are done.
    """
    scores = []
    with evaluating(network), torch.no_grad(), autocast(device, half):
        for index in range(len(cases)):
            tell(index / len(cases))
            case = cases[index]
            image, label = (torch.as_tensor(case[key])[None].to(device) for key in ("image", "label"))
            answer = inferer(laid_out(image, half), network).argmax(1, keepdim=True)
            scores.append(compute_dice(answer, label, num_classes=max(labels) + 1)[0].cpu().numpy())
    numbers = [number for number in sorted(labels) if number]
    return Scores(tuple(labels[number] for number in numbers), np.stack(scores)[:, numbers])


@dataclass(frozen=True)
class DiceBesideKept:
    """Measures as `measure` does, and tells labels apart whose truth is what an earlier model found.

    Attributes:
        kept: Their names.
    """

    kept: Sequence[str]

    def __call__(self, *arguments: Any) -> Scores:
        """Measure; arguments as of `measure`."""
        return replace(measure(*arguments), kept=frozenset(self.kept))


@contextmanager
def evaluating(network: torch.nn.Module) -> Iterator[None]:
    """Have a network in evaluation mode for a while."""
    before = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(before)
