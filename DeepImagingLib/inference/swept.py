"""Run a bundle slab by slab: windows are added up, finished slabs mapped back, decided and let go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from DeepImagingLib.inference.inverse import Inverse, identity, read_inverse
from DeepImagingLib.inference.ladder import Way, descend
from DeepImagingLib.inference.network import Caller
from DeepImagingLib.inference.recipe import Recipe
from DeepImagingLib.inference.reduce import Activation, Labels, Mapped, Volumes, keeper_of
from DeepImagingLib.inference.sweep import Sweep
from DeepImagingLib.inference.threads import one_thread
from DeepImagingLib.tasks.segmentation import Argmax, Masks, Reducer

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.inference.windows import Windows

T = TypeVar("T")


@dataclass(frozen=True)
class Swept:
    """What a sweep leaves.

    Attributes:
        answer: Labels (I, J, K), or masks of as many.
        volumes: Label to its probability (I, J, K), float32.
        way: How it was computed in the end.
    """

    answer: npt.NDArray[Any] | Masks
    volumes: dict[int, npt.NDArray[np.float32]]
    way: Way

    def as_picture(self) -> Swept:
        """Return the same of a volume of one slice (I, J, 1) as of a picture (I, J)."""
        answer = self.answer.as_picture() if isinstance(self.answer, Masks) else self.answer[..., 0]
        volumes = {channel: volume[..., 0] for channel, volume in self.volumes.items()}
        return replace(self, answer=answer, volumes=volumes)


class Run:
    """One sweep over one image.

    Args:
        caller: The network over its windows.
        recipe: What becomes of its channels.
        inverse: From the windows' grid to that in which the recipe decides, of three axes.
        back: From the windows' grid to that of volumes.
        reducer: What becomes of the channels of a voxel.
        channels: How many there are.
        shown: Label to channel, of those wanted as volumes.
        way: How to compute; `caller` is made for it.
    """

    def __init__(
        self,
        caller: Caller,
        recipe: Recipe,
        inverse: Inverse,
        back: Inverse,
        reducer: Reducer,
        channels: int,
        shown: Mapping[int, int],
        way: Way,
    ) -> None:
        self._caller = caller
        self._way = way
        self._keeper = keeper_of(reducer, inverse.shape, channels)
        known = recipe.activation or recipe.after
        before = "" if known else "softmax" if isinstance(reducer, Argmax) else "sigmoid"
        self._volumes = Volumes(back.shape, shown, ACTIVATIONS[before], recipe.after)
        windows = caller.windows
        self._mapped = [Mapped(inverse, windows.order, self._keeper, caller.ask)]
        if shown:
            self._mapped.append(Mapped(back, windows.order, self._volumes, caller.ask))
        finish = ACTIVATIONS[recipe.activation]
        self._sweep: Sweep | None = None
        self._begin = lambda: Sweep(windows, channels, finish, self._finished, self._way.store)

    def go(self, monitor: Monitor) -> Swept:
        """Run all windows.

        Raises:
            MemoryLimitError: Memory ran out, and nothing is left to give.
            CancelledError: The monitor was told to stop.
            UnknownOutput: The network's output can't be swept.
        """
        starts = self._caller.windows.starts
        done = 0
        monitor.count()
        while done < len(starts):
            monitor.update(done / len(starts))
            outputs = self._attempt(lambda: self._caller.next(done, self._way.batch))  # noqa: B023 - called at once
            with monitor.aside("Post-processing"):
                sweep = self._sweep = self._sweep or self._attempt(self._begin)
                with one_thread(sweep.is_small):
                    for start, output in zip(starts[done:], outputs):
                        self._attempt(lambda: sweep.add(start, output))  # noqa: B023 - called at once
            done += len(outputs)
            del outputs, output
        with monitor.aside("Post-processing"), one_thread(sweep.is_small):
            self._attempt(sweep.end)
        answer = self._keeper.labels if isinstance(self._keeper, Labels) else self._keeper.masks
        return Swept(answer, self._volumes.volumes, self._way)

    def _finished(self, values: torch.Tensor, first: int, stop: int) -> None:
        for mapped in self._mapped:
            mapped.take(values, first, stop)

    def _attempt(self, action: Callable[[], T]) -> T:
        """Do what may need more memory than there is, stepping down where it does."""
        done, self._way = descend(self._way, lambda way: action(), self._take)
        return done

    def _take(self, way: Way) -> None:
        self._way = way
        self._caller.use(way.device, way.dtype)
        if self._sweep is not None:
            self._sweep.move(way.store)


def _softmax(values: torch.Tensor) -> torch.Tensor:
    return values.softmax(-1)


def _sigmoid(values: torch.Tensor) -> torch.Tensor:
    return values.sigmoid()


def _as_they_are(values: torch.Tensor) -> torch.Tensor:
    return values


ACTIVATIONS: dict[str, Activation] = {"": _as_they_are, "softmax": _softmax, "sigmoid": _sigmoid}


def decided(output: torch.Tensor, recipe: Recipe, reducer: Reducer) -> torch.Tensor:
    """Return labels (B, I, J, K), or masks (B, K, I, J, K), of a network's output as it is."""
    values = ACTIVATIONS[recipe.activation](output.movedim(1, -1))
    if isinstance(reducer, Argmax):
        return values.argmax(-1)
    return values > reducer.value if reducer.strict else values >= reducer.value


def inverse_of(image: MetaTensor, windows: Windows, *, mapped_back: bool, nearest: bool) -> Inverse:
    """Return the way from the windows' grid to that of the input, or of the image as the network has it.

    Returns:
        Of three axes, also for a picture.

    Raises:
        NotSeparable: It can't be told axis by axis.
    """
    affine = np.eye(4)
    inverse = read_inverse(image, nearest=nearest) if mapped_back else identity(image.shape[1:], affine)
    axes = [axis.shifted(windows.before[axis.source]) for axis in inverse.axes]
    if len(axes) == 2:
        axes += identity((1, 1, 1), affine).axes[2:]
    return replace(inverse, axes=tuple(axes))
