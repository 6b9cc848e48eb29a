"""Add up windows slab by slab along one axis; a slab that no window to come can touch is finished and let go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.inference.windows import Shape, Windows

Slab = Callable[["torch.Tensor", int, int], None]
"""Takes values (P, n1, n2, K), the plane of the grid that the first of them is, and the first plane not finished."""

SMALL = 4_000_000  # values held
KEPT = 1  # finished planes that stay, since rows of the result may lie between them and the next


class Sweep:
    """Holds what isn't finished yet: planes of one window's depth over the whole cross-section.

    Axes are those of `Windows.order`, with channels last: what is decided later looks at all channels of a voxel.

    Args:
        windows: In order along their axis.
        channels: K, of the network's output.
        finish: Turns normalised values (n1, n2, K) into those that are to be mapped back, such as by a softmax.
        slab: Called with finished planes.
        device: Where values are added up.
    """

    def __init__(
        self,
        windows: Windows,
        channels: int,
        finish: Callable[[torch.Tensor], torch.Tensor],
        slab: Slab,
        device: torch.device | str = "cpu",
    ) -> None:
        import torch

        self._windows = windows
        self._finish = finish
        self._slab = slab
        self._first = 0  # the plane of the grid that the first held one is
        self._added = 0  # slabs of the window that is being added
        self._finished = self._done = 0  # planes whose values are final; planes that were handed on
        depth, rows, columns = (windows.size[axis] for axis in windows.order)
        self._end = depth
        planes = min(windows.window[windows.axis] + KEPT, depth)
        self._values = torch.zeros((planes, rows, columns, channels), device=device)
        self._weights = torch.zeros((planes, rows, columns, 1), device=device)
        self._importance = windows.importance()[..., None].to(device)

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
        order = self._windows.order
        self._finish_before(start[self._windows.axis])
        box = tuple(
            slice(start[axis] - offset, start[axis] - offset + self._windows.window[axis])
            for axis, offset in zip(order, (self._first, 0, 0), strict=True)
        )
        self._add(self._values[box], output.to(self._values))
        self._weights[box] += self._importance
        self._added = 0

    def _add(self, target: torch.Tensor, output: torch.Tensor) -> None:
        """Add an output (K, I, J, K) to values in the sweep's axes, channels last.

        Slab by slab of the output: moving its channels to the end is many times faster within what caches hold.
        """
        channels, across, *plane = output.shape
        order = self._windows.order
        place = order.index(0)
        for index in range(self._added, across):
            values = output[:, index].reshape(channels, -1).t().contiguous().reshape(*plane, channels)
            values = values if order.index(1) < order.index(2) else values.transpose(0, 1)
            target.select(place, index).addcmul_(values, self._importance.select(place, index))
            self._added = index + 1

    def end(self) -> None:
        """Finish all planes."""
        self._finish_before(self._end)

    def _finish_before(self, plane: int) -> None:
        if plane <= self._done:
            return
        for index in range(self._finished - self._first, plane - self._first):
            values = self._values[index] / self._weights[index]
            _check_finite(values)
            self._values[index] = self._finish(values)
            self._finished += 1
        self._slab(self._values[: plane - self._first], self._first, plane)
        self._done = plane
        self._shift(max(plane - KEPT, 0))

    def _shift(self, first: int) -> None:
        """Let go of the planes before `first`."""
        gone = first - self._first
        kept = len(self._values) - gone
        for held in (self._values, self._weights):
            for index in range(kept):  # plane by plane, as they overlap
                held[index] = held[index + gone]
            held[kept:] = 0
        self._first = first


def _check_finite(values: torch.Tensor) -> None:
    """Raise BundleError where the network gave NaN or infinity: an argmax would make a label of it."""
    if not bool(values.sum().isfinite()):
        raise BundleError("The network's answer holds values that are not numbers; its weights don't fit this input.")
