"""Does a heatmap point at what is there, and at what the network goes by?

Maps are (I, J) or (I, J, K), images the same with or without channels (C) in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, unique

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.hits import Numbers

Mask = npt.NDArray[np.bool_]
STEPS = 50


def pointing(values: npt.ArrayLike, mask: Mask, spacing: Sequence[float], tolerance: float = 0.0) -> float:
    """Return 1 where the map's maximum lies in the mask, 0 where not: the pointing game (Zhang et al., IJCV 2018).

    Where several places share the maximum, it is their share that does: of a map without any contrast, that of the
    mask in the image, as by chance.

    Args:
        values: The map.
        mask: What there is, of the map's shape.
        spacing: Of their voxels in mm, along each axis.
        tolerance: How far from the mask the maximum may lie, in mm from centre to centre of voxels.

    Raises:
        InputError: They don't fit, or the map isn't finite, or the mask is empty.
    """
    from scipy.ndimage import distance_transform_edt

    found = _checked(values, mask)
    near = distance_transform_edt(~mask, sampling=tuple(spacing)) <= tolerance
    return float(near[found == found.max()].mean())


def energy(values: npt.ArrayLike, mask: Mask) -> float:
    """Return which share of the map's positive values lies in the mask, 0 of none.

    The energy-based pointing game of Wang et al. (Score-CAM, CVPR Workshops 2020).

    Raises:
        InputError: They don't fit, or the map isn't finite, or the mask is empty.
    """
    positive = np.maximum(_checked(values, mask), 0)
    return float(positive[mask].sum() / (positive.sum() or 1))


def _checked(values: npt.ArrayLike, mask: Mask) -> Numbers:
    found = np.asarray(values, float)
    if found.shape != mask.shape:
        raise InputError(f"The map has the shape {found.shape}, the mask {mask.shape}; bring both to one grid.")
    if not np.isfinite(found).all() or not mask.any():
        wrong = "The mask holds nothing" if np.isfinite(found).all() else "The map holds values that aren't finite"
        raise InputError(f"{wrong}; leave the image out.")
    return found


@unique
class Baseline(Enum):
    """What stands in place of what is taken away: the image blurred, or its mean everywhere."""

    BLURRED = "blurred"
    CONSTANT = "constant"

    def of(self, image: Numbers, spatial: int, blur: float = 10.0) -> Numbers:
        """Return (…) as the image, whose last `spatial` axes are of space.

        Args:
            image: Channels, if any, are each on their own.
            spatial: 2 or 3.
            blur: Standard deviation in voxels, of `BLURRED`.
        """
        from scipy.ndimage import gaussian_filter

        axes = tuple(range(image.ndim - spatial, image.ndim))
        if self is Baseline.BLURRED:
            return np.asarray(gaussian_filter(image, blur, axes=axes))
        return np.broadcast_to(image.mean(axis=axes, keepdims=True), image.shape)


@dataclass(frozen=True)
class Change:
    """The probability of a class while an image turns into another, the places of the highest map first.

    Attributes:
        probabilities: (steps + 1,), after equal shares of the image, from none to all of it.
    """

    probabilities: Numbers

    @property
    def area(self) -> float:
        """Under the curve, over shares from 0 to 1."""
        curve = self.probabilities
        return float((curve[1:] + curve[:-1]).mean() / 2)


def deletion(
    image: Numbers,
    values: npt.ArrayLike,
    probability: Callable[[Numbers], float],
    *,
    baseline: Baseline = Baseline.CONSTANT,
    steps: int = STEPS,
) -> Change:
    """Return how the probability falls as the map's highest places are taken away (Petsiuk et al., BMVC 2018).

    The lower the area, the more the network went by them. Equal values go in the order of a seeded draw.

    Args:
        image: (I, J[, K]) or (C, I, J[, K]).
        values: (I, J[, K]) the map.
        probability: Runs the network on an array like `image`.
        baseline: What stands in their place.
        steps: In how many.
    """
    return _change(image, baseline.of(image, np.ndim(values)), np.asarray(values), probability, steps)


def insertion(
    image: Numbers,
    values: npt.ArrayLike,
    probability: Callable[[Numbers], float],
    *,
    baseline: Baseline = Baseline.BLURRED,
    steps: int = STEPS,
) -> Change:
    """Return how the probability rises as the map's highest places come first; otherwise as `deletion`.

    The higher the area, the more the network goes by them.
    """
    return _change(baseline.of(image, np.ndim(values)), image, np.asarray(values), probability, steps)


def _change(
    start: Numbers, end: Numbers, values: Numbers, probability: Callable[[Numbers], float], steps: int
) -> Change:
    falling = np.lexsort((np.random.default_rng(0).random(values.size), -values.ravel()))
    rank = np.argsort(falling).reshape(values.shape)
    ends = np.linspace(0, values.size, steps + 1).round()
    return Change(np.array([probability(np.where(rank < end_, end, start)) for end_ in ends], float))
