"""Occlusion: how far the logit falls when a part of the image is painted over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

from DeepImagingLib.explain.asking import baseline, batch_of, groups, logits, undisturbed
from DeepImagingLib.explain.walk import Field

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.inference.progress import Monitor

CELLS = {1: 64, 2: 14, 3: 6}
"""Cells along the axes of a picture or a volume, at most: 225 and 343 runs of the network."""


def occlusion(
    network: torch.nn.Module, image: MetaTensor, channel: int, monitor: Monitor
) -> tuple[torch.Tensor, Field]:
    """Return the map (cells...) and where its cells look.

    A window of two cells along each axis, filled with the image's `baseline`, goes over the image cell by cell. A
    cell's value is how far the logit falls, as the mean of the windows that cover it; negative where it rises. After
    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.
    """
    import numpy as np
    import torch

    size = tuple(image.shape[1:])
    rank = len(size)
    steps = [math.ceil(n / CELLS[rank]) for n in size]
    cells = [math.ceil(n / step) for n, step in zip(size, steps)]
    windows = list(_windows(cells, steps))
    with undisturbed(network):
        falls = torch.zeros(len(windows))
        batch = batch_of(network, image)
        empty, whole = baseline(batch), logits(network, batch, channel)
        for group in groups(len(windows), batch):
            monitor.update(group[0] / len(windows))
            copies = batch.repeat(len(group), *[1] * (rank + 1))
            for copy, number in zip(copies, group):
                copy[windows[number]] = empty[0][windows[number]]
            falls[list(group)] = (whole - logits(network, copies, channel)).float().cpu()
        pool = (torch.nn.functional.avg_pool1d, torch.nn.functional.avg_pool2d, torch.nn.functional.avg_pool3d)[
            rank - 1
        ]
        values = pool(falls.reshape(1, 1, *[n + 1 for n in cells]), 2, 1)[0, 0]
    step = np.array(steps, dtype=float)
    return values, Field((step - 1) / 2, step)


def _windows(cells: Sequence[int], steps: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yield what is painted over of (C, I, J[, K]): one cell before the first to the last."""
    # From one cell outside on, so that as many windows cover a cell at the edge as one in the middle.
    for place in product(*(range(-1, n) for n in cells)):
        yield (slice(None), *(slice(max(p, 0) * s, (p + 2) * s) for p, s in zip(place, steps)))
