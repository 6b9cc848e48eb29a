"""Dice of a network on held-out cases, label by label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from monai.metrics import compute_dice

from DeepImagingLib.training.precision import autocast, laid_out

MEAN = "mean"

Inferer = Callable[[torch.Tensor, torch.nn.Module], Any]


class Items(Protocol):
    """A dataset: items by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


def measure(
    network: torch.nn.Module,
    cases: Items,
    labels: Mapping[int, str],
    inferer: Inferer,
    device: torch.device,
    half: bool,
    tell: Callable[[float], None],
) -> dict[str, float]:
    """Return the mean Dice of each label over the cases that have it, by name, and the mean of these.

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
    values = np.stack(scores)
    seen = {labels[n]: values[:, n] for n in labels if n and not np.isnan(values[:, n]).all()}
    dice = {name: float(np.nanmean(column)) for name, column in seen.items()}
    return dice | {MEAN: float(np.mean(list(dice.values()))) if dice else 0.0}


@contextmanager
def evaluating(network: torch.nn.Module) -> Iterator[None]:
    """Have a network in evaluation mode for a while."""
    before = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(before)
