"""Ask a network for its logits, and leave it as it was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

AT_ONCE = 2**17
"""Voxels of the images a network is given together, unless one has more: two pictures of 224 × 224."""


@contextmanager
def undisturbed(network: torch.nn.Module) -> Iterator[None]:
    """Evaluate a network, also for gradients where inference mode is on; its parts get their modes back in any case."""
    import torch

    before = [(part, part.training) for part in network.modules() if hasattr(part, "training")]  # frozen ones have none
    network.eval()
    try:
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        for part, training in before:
            part.training = training


def batch_of(network: torch.nn.Module, image: MetaTensor) -> torch.Tensor:
    """Return an image (C, I, J[, K]) as a batch of one, float32, where the network is."""
    weights = next(chain(network.parameters(), network.buffers()), image)
    return image.as_tensor().detach().clone()[None].to(weights.device).float()


def logits(network: torch.nn.Module, batch: torch.Tensor, channel: int) -> torch.Tensor:
    """Return what the network says of a class (B,), before any activation of the bundle's own.

    Of several outputs the first counts; of a map of logits, their mean.

    Raises:
        InputError: The network has no such class.
    """
    output = network(batch)
    while isinstance(output, (tuple, list)):
        output = output[0]
    classes = output.shape[1] if output.ndim > 1 else 1
    if not 0 <= channel < classes:
        raise InputError(f"The network answers with {classes} classes, counted from 0; there is no class {channel}.")
    return output.reshape(len(batch), classes, -1)[:, channel].mean(1)


def baseline(batch: torch.Tensor) -> torch.Tensor:
    """Return an image that shows nothing: each channel's mean.

    Grey, since neither what is darker nor what is brighter vanishes in it, as a pneumothorax would in black.
    """
    import torch

    return batch.mean(dim=tuple(range(2, batch.ndim)), keepdim=True) * torch.ones_like(batch)


def groups(count: int, batch: torch.Tensor) -> Iterator[Sequence[int]]:
    """Yield the numbers below `count` in groups for which copies of an image fit into memory together."""
    size = max(1, AT_ONCE // math.prod(batch.shape[2:]))
    for first in range(0, count, size):
        yield range(first, min(first + size, count))
