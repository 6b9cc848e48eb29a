"""What is kept of finished slabs, in the result's grid: labels, masks, volumes of chosen channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from DeepImagingLib.inference import cells
from DeepImagingLib.inference.cells import Activation
from DeepImagingLib.inference.inverse import OUT, Axis, Inverse
from DeepImagingLib.tasks.segmentation import BITS, Argmax, Masks, Reducer, Threshold

if TYPE_CHECKING:
    import torch

AT_ONCE = 16_000_000
"""Voxels of the result that are decided together: a second's work, and memory that doesn't grow with the scan."""

Axes = tuple[Axis, Axis, Axis]
Place = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


class Keeper(Protocol):
    """Keeps what it needs of values that are given once and let go then."""

    def keep(self, values: torch.Tensor, axes: Axes, place: Place) -> None:
        """Take values (K, n0, n1, n2) and the rows between them; `place` gives where these lie in (I, J, K)."""


class Labels:
    """Keeps the winner of each voxel, as `labels` (I, J, K); `activation` is as of `cells.argmax`."""

    def __init__(self, shape: tuple[int, ...], channels: int, activation: Activation) -> None:
        self.labels = np.zeros(shape, np.uint8 if channels <= 256 else np.uint16)
        self._activation = activation

    def keep(self, values: torch.Tensor, axes: Axes, place: Place) -> None:
        """Decide the rows."""
        place(self.labels)[...] = cells.argmax(values, axes, self._activation).cpu().numpy()


class Covers:
    """Keeps which channels pass a threshold at each voxel, as `masks`."""

    def __init__(self, shape: tuple[int, ...], channels: int, threshold: Threshold) -> None:
        self.masks = Masks(channels, shape)
        self._threshold = threshold

    def keep(self, values: torch.Tensor, axes: Axes, place: Place) -> None:
        """Decide the rows, channel by channel."""
        for channel, plane in enumerate(values):
            mask = (
                cells.at_least(plane.contiguous(), axes, self._threshold.value, strict=self._threshold.strict)
                .cpu()
                .numpy()
            )
            place(self.masks.bits[channel // BITS])[...] |= mask.view(np.uint8) << channel % BITS


class Volumes:
    """Keeps chosen channels, as `volumes`: label to (I, J, K) float32.

    Args:
        shape: (I, J, K).
        channels: Label to the channel that is kept for it.
        before: What makes probabilities of values, where these aren't yet and are mapped as such.
        after: "softmax" or "sigmoid" of values that are mapped as they are, "" where there is none.
    """

    def __init__(self, shape: tuple[int, ...], channels: Mapping[int, int], before: Activation, after: str) -> None:
        self.volumes = {label: np.zeros(shape, np.float32, order="F") for label in channels}
        self._indices = list(channels.values())
        self._before = before
        self._after = after

    def keep(self, values: torch.Tensor, axes: Axes, place: Place) -> None:
        """Interpolate the rows, channel by channel."""
        import torch

        total = None
        for plane in values if self._after == "softmax" else ():
            fine = cells.interpolate(plane, axes)
            total = fine if total is None else torch.logaddexp(total, fine)
        shares = torch.stack([self._before(part)[self._indices] for part in values.unbind(1)], 1)
        for share, volume in zip(shares, self.volumes.values(), strict=True):
            fine = cells.interpolate(share, axes)
            if self._after:
                fine = fine.sigmoid() if total is None else (fine - total).exp()
            place(volume)[...] = fine.cpu().numpy()


def keeper_of(reducer: Reducer, shape: tuple[int, ...], channels: int, activation: Activation) -> Labels | Covers:
    """Return what keeps a reducer's answer."""
    return Labels(shape, channels, activation) if isinstance(reducer, Argmax) else Covers(shape, channels, reducer)


class Mapped:
    """Hands each row of the result to a keeper as soon as the planes it lies between are finished.

    Args:
        inverse: From the grid that is swept to the result's.
        axis: Of that grid, along which it is swept.
        keeper: Who gets the rows.
        ask: Called before each few rows; may raise.
    """

    def __init__(self, inverse: Inverse, axis: int, keeper: Keeper, ask: Callable[[], None]) -> None:
        sources = [line.source for line in inverse.axes]
        self._layout = tuple(sources.index(source) for source in range(3))
        self._axes = [inverse.axes[index] for index in self._layout]
        self._axis = axis
        self._keeper = keeper
        self._ask = ask
        along = self._axes[axis]
        self._rows = max(AT_ONCE * len(along) // max(math.prod(inverse.shape), 1), 1)
        self._ready = np.maximum(along.first, along.second)  # the last plane each row waits for
        self._from = OUT

    def take(self, values: torch.Tensor, first: int, stop: int) -> None:
        """Keep the rows that planes `first` to `stop` (exclusive), given as values (K, n0, n1, n2), complete."""
        ready = np.flatnonzero((self._ready >= self._from) & (self._ready < stop))
        for run in np.split(ready, np.flatnonzero(np.diff(ready) > 1) + 1):
            for start in range(0, len(run), self._rows):
                self._ask()
                self._keep(values, first, run[start : start + self._rows])
        self._from = stop

    def _keep(self, values: torch.Tensor, first: int, rows: npt.NDArray[np.int64]) -> None:
        """Keep a range of rows, looking at the planes that they lie between."""
        axes = list(self._axes)
        axes[self._axis], lowest, stop = axes[self._axis].part(rows)
        values = values.narrow(self._axis + 1, max(lowest - first, 0), stop - lowest)
        where = [slice(None)] * 3
        where[self._axis] = slice(int(rows[0]), int(rows[-1]) + 1)

        def place(result: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return result.transpose(self._layout)[tuple(where)]

        self._keeper.keep(values, (axes[0], axes[1], axes[2]), place)
