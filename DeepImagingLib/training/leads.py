"""Leads that cross a radiograph taken at the bedside, wherever they happen to lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from scipy.ndimage import gaussian_filter

from DeepImagingLib.training.outliers import Picture, Random

MOST = 5
POINTS = 6  # a pixel of the picture's side, along a lead, which may be five times as long: none is skipped


class RandLeadsd(RandomizableTransform, MapTransform):
    """Lays some leads over some pictures; where they lie says nothing of what is behind them.

    The phantoms have their electrodes where electrodes belong. A lead across a lung, or a loop of one beside the
    neck, is what made a real bedside radiograph look like none to a network that had seen only those.

    Args:
        keys: Of pictures (1, I, J), from 0 to 1, bright for dense.
        prob: How often.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.2) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data, some with other pictures."""
        self.randomize(None)
        made = dict(data)
        for key in self.keys if self._do_transform else ():
            picture = np.asarray(made[key], np.float32)[0]
            for _ in range(int(self.R.randint(1, MOST + 1))):
                picture = np.minimum(picture + _lead(picture.shape, self.R), 1)
            made[key] = torch.from_numpy(np.asarray(picture, np.float32))[None]
        return made


def _lead(shape: tuple[int, ...], rng: Random) -> Picture:
    """Return how much one brightens each pixel: a cubic Bézier curve between places in and around the picture."""
    corners = rng.uniform(-0.1, 1.1, (4, 2)) * shape
    t = np.linspace(0, 1, POINTS * max(shape))[:, None]
    path = (1 - t) ** 3 * corners[0] + 3 * t * (1 - t) ** 2 * corners[1] + 3 * t**2 * (1 - t) * corners[2]
    pixels = np.rint(path + t**3 * corners[3]).astype(int)
    inside = pixels[((pixels >= 0) & (pixels < shape)).all(axis=1)]
    drawn = np.zeros(shape, np.float32)
    drawn[tuple(inside.T)] = 1
    drawn = gaussian_filter(drawn, rng.uniform(0.5, 1.6))
    return np.asarray(drawn / max(drawn.max(), 1e-6) * rng.uniform(0.05, 0.35), np.float32)
