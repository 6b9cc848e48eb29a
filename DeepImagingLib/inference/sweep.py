"""Add up windows slab by slab along one axis; a slab that no window to come can touch is finished and let go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.inference.windows import Shape, Windows

Slab = Callable[["torch.Tensor", int, int], None]
"""Takes values (K, n0, n1, n2), the plane of the grid that the first of them is, and the first plane not finished."""

SMALL = 4_000_000  # values held
KEPT = 1  # finished planes that stay, since rows of the result may lie between them and the next


class Sweep:
    """Holds what isn't finished yet: planes of one window's depth over the whole cross-section.

    Args:
        windows: In order along their axis.
        channels: K, of the network's output.
        finish: Turns normalised values (K, n1, n2) into those that are to be mapped back, such as by a sigmoid.
        slab: Called with finished planes.
        device: Where values are added up.
        channels_last: Whether the channels of a voxel lie side by side in memory, as the outputs' should do then.
        finite: Whether values that are no numbers are an error.
    """

    def __init__(
        self,
        windows: Windows,
        channels: int,
        finish: Callable[[torch.Tensor], torch.Tensor],
        slab: Slab,
        device: torch.device | str = "cpu",
        *,
        channels_last: bool = False,
        finite: bool = True,
    ) -> None:
        import torch

        self._axis = windows.axis
        self._window = windows.window
        self._finish = finish
        self._slab = slab
        self._finite = finite
        self._first = 0  # the plane of the grid that the first held one is
        self._added = 0  # slices of the window that is being added
        self._done = 0  # planes that were handed on
        self._finished = 0  # slices of those to come whose values are final
        self._end = windows.size[self._axis]
        shape = list(windows.size)
        shape[self._axis] = min(self._window[self._axis] + KEPT, self._end)
        if channels_last:
            self._values = torch.zeros((*shape, channels), device=device).movedim(-1, 0)
        else:
            self._values = torch.zeros((channels, *shape), device=device)
        self._weights = torch.zeros((1, *shape), device=device)
        self._importance = windows.importance().to(device)

    @property
    def is_small(self) -> bool:
        """Whether what is held is so little that threads would wait for each other longer than they work."""
        return self._values.numel() < SMALL

    def move(self, device: torch.device | str) -> None:
        """Go on adding up elsewhere."""
        self._values, self._weights = self._values.to(device), self._weights.to(device)
        self._importance = self._importance.to(device)

    def add(self, start: Shape, output: torch.Tensor) -> None:
        """Add the network's output (K, I, J, K) of a window; may finish planes before.

        Where memory runs out in it, it can be called again.
        """
        self._finish_before(start[self._axis])
        first = [s - self._first * (axis == self._axis) for axis, s in enumerate(start)]
        box = (slice(None), *(slice(f, f + n) for f, n in zip(first, self._window, strict=True)))
        target, output = self._values[box], output.to(self._values.device)
        for index in range(self._added, self._window[0]):  # by slices, of which no copy in float32 is large
            target[:, index].addcmul_(output[:, index].to(target), self._importance[index])
            self._added = index + 1
        self._weights[box] += self._importance
        self._added = 0

    def end(self) -> None:
        """Finish all planes."""
        self._finish_before(self._end)

    def _finish_before(self, plane: int) -> None:
        if plane <= self._done:
            return
        fresh, weights = (self._planes(held, self._done, plane) for held in (self._values, self._weights))
        for index in range(self._finished, fresh.shape[1]):
            values = fresh[:, index] / weights[:, index]
            if self._finite:
                _check_finite(values)
            fresh[:, index] = self._finish(values)
            self._finished = index + 1
        self._slab(self._planes(self._values, self._first, plane), self._first, plane)
        self._done, self._finished = plane, 0
        self._shift(max(plane - KEPT, 0))

    def _planes(self, held: torch.Tensor, first: int, stop: int) -> torch.Tensor:
        """Return planes of the grid, of what is held."""
        return held.narrow(self._axis + 1, first - self._first, stop - first)

    def _shift(self, first: int) -> None:
        """Let go of the planes before `first`."""
        gone, dim = first - self._first, self._axis + 1
        if not gone:
            return
        for held in (self._values, self._weights):
            kept = held.shape[dim] - gone
            for start in range(0, kept, gone):  # part by part, as old and new place overlap
                count = min(gone, kept - start)
                held.narrow(dim, start, count).copy_(held.narrow(dim, start + gone, count))
            held.narrow(dim, kept, gone).zero_()
        self._first = first


def _check_finite(values: torch.Tensor) -> None:
    """Raise BundleError where the network gave NaN or infinity: an argmax would make a label of it."""
    if not bool(values.sum().isfinite()):
        raise BundleError("The network's answer holds values that are not numbers; its weights don't fit this input.")
