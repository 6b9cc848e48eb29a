"""Go over the windows of an image: a GPU is at the next while the last are taken over, and memory may run out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from DeepImagingLib.inference.arrival import Arrival
from DeepImagingLib.inference.ladder import Way, descend
from DeepImagingLib.inference.network import Caller

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.inference.progress import Monitor

T = TypeVar("T")


class Loop:
    """One pass over all windows.

    Args:
        caller: The network over its windows.
        way: How to compute; `caller` is made for it.
        move: Told where outputs are to be taken from now on.

    Attributes:
        way: How it computes at present.
    """

    def __init__(self, caller: Caller, way: Way, move: Callable[[torch.device], None]) -> None:
        self._caller = caller
        self._move = move
        self.way = way

    def outputs(self, monitor: Monitor) -> Iterator[tuple[int, Arrival]]:
        """Yield the outputs of all windows, with the first one's number; a GPU is at the next ones meanwhile.

        Raises:
            CancelledError: The monitor was told to stop.
            MemoryError, RuntimeError: Memory ran out, and nothing is left to give.
        """
        starts, count = self._caller.windows.starts, len(self._caller.windows.starts)
        known = int(starts[0] in self._caller.known)
        done, under_way = 0, deque[tuple[int, Arrival]]()
        while done < count:
            monitor.update(done / count)
            outputs = self.attempt(lambda: self._caller.next(done, self.way.batch))  # noqa: B023 - called at once
            under_way.append((done, self.attempt(lambda: Arrival(outputs, self.way.store))))  # noqa: B023
            done += len(outputs)
            if done == known:
                monitor.count(done / count)
            del outputs  # or it would be kept while the next are computed
            while len(under_way) > ahead_on(self.way.device):
                yield under_way.popleft()
        yield from under_way

    def attempt(self, action: Callable[[], T]) -> T:
        """Do what may need more memory than there is, stepping down where it does."""
        done, self.way = descend(self.way, lambda way: action(), self._take)
        return done

    def _take(self, way: Way) -> None:
        self.way = way
        self._caller.use(way.device, way.dtype)
        self._move(way.store)


def ahead_on(device: torch.device) -> int:
    """Return how many batches a device may have begun beyond the one that is being added up."""
    return 0 if device.type == "cpu" else 1
