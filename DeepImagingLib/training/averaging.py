"""A running average of weights, which is steadier than the weights themselves."""

from __future__ import annotations

from collections.abc import Callable

import torch

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def running_average(decay: float) -> Callable[[Tensors, Tensors, torch.Tensor | int], None]:
    """Return how weights are averaged; it forgets faster at first, when weights are far from where they will be."""

    def update(averaged: Tensors, new: Tensors, count: torch.Tensor | int) -> None:
        number = int(count)
        keep = min(decay, (1 + number) / (10 + number))
        for mean, value in zip(averaged, new, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - keep)

    return torch.no_grad()(update)
