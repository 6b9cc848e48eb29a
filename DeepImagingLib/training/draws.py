"""Data by number: item n is a function of a seed and n, so that a run that is resumed sees what it would have seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from monai.transforms import Randomizable
from torch.utils.data import Dataset, Sampler

from DeepImagingLib.training.validate import Items

Item = Mapping[str, Any]
Transform = Callable[[Any], Item]


def seeded(transform: Transform, rng: np.random.Generator) -> Transform:
    """Return MONAI's transform, a whole chain say, with its random numbers drawn from `rng`."""
    if isinstance(transform, Randomizable):
        transform.set_random_state(seed=int(rng.integers(2**32)))
    return transform


class Shuffled(Dataset[Item]):
    """A finite data set without end: in each turn all of it, in another order.

    Args:
        data: Items by number, such as `monai.data.Dataset` or `CacheDataset`, without random transforms.
        transform: Random transforms of each item.
        seed: Of order and transforms.
    """

    def __init__(self, data: Items, transform: Transform | None = None, seed: int = 0) -> None:
        self.data, self.transform, self.seed = data, transform, seed
        self.prepare = getattr(data, "prepare", None)

    def __getitem__(self, number: int) -> Item:
        """Return the item of that number, from 0 on."""
        turn, place = divmod(number, len(self.data))
        order = np.random.default_rng([self.seed, 0, turn]).permutation(len(self.data))
        item = self.data[int(order[place])]
        return seeded(self.transform, np.random.default_rng([self.seed, 1, number]))(item) if self.transform else item


class From(Sampler[int]):
    """Numbers without end, from the first that a resumed run has not seen.

    Args:
        first: That number.
        batch: Where several processes share the numbers, each takes so many of them in its turn.
        share: Which process this is, of how many.
    """

    def __init__(self, first: int, batch: int = 1, share: tuple[int, int] = (0, 1)) -> None:
        self._first, self._batch, (self._rank, self._ranks) = first, batch, share

    def __iter__(self) -> Iterator[int]:
        turn = self._batch * self._ranks
        for start in itertools.count(self._first + self._rank * self._batch, turn):
            yield from range(start, start + self._batch)
