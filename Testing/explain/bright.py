"""Networks that look, by construction, at what is bright, and images with one bright blob at a known place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from torch import nn

from DeepImagingLib.files.image import as_image

WIDTH = 4.0
"""Standard deviation of a blob in mm."""


class Bright(nn.Module):
    """Class 0 is the mean of what is brighter than a threshold, class 1 that of what is darker than another.

    Cells are `stride` voxels wide. The ReLU changes its input in place.
    """

    def __init__(self, rank: int, stride: int = 4, channels: int = 1) -> None:
        super().__init__()
        conv, pool = (nn.Conv2d, nn.AvgPool2d) if rank == 2 else (nn.Conv3d, nn.AvgPool3d)
        self.body = conv(channels, 2, 1)
        self.pool = pool(stride, ceil_mode=True)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.body.weight[0], self.body.weight[1] = 1 / channels, -1 / channels
            self.body.bias[:] = torch.tensor([-0.05, 1.0])
            self.head.weight[:] = torch.eye(2) * 10
            self.head.bias[:] = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, 2)."""
        return self.head(self.relu(self.pool(self.body(x))).flatten(2).mean(2))


def blob(shape: Sequence[int], affine: np.ndarray, center: Sequence[float], channels: int = 1) -> MetaTensor:
    """Return (C, I, J[, K]): 1 at `center` (RAS mm), falling to 0 round it."""
    places = np.indices((*shape, 1)[:3]).reshape(3, -1)
    ras = affine[:3, :3] @ places + affine[:3, 3:]
    distances = np.square(ras - np.reshape(center, (3, 1))).sum(0)
    values = np.exp(-distances / (2 * WIDTH**2)).reshape(1, *shape).astype(np.float32)
    return as_image(np.repeat(values, channels, axis=0), affine)
