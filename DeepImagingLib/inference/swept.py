"""Run a bundle slab by slab: windows are added up, finished slabs mapped back, decided and let go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.inference import cells
from DeepImagingLib.inference.cells import Activation
from DeepImagingLib.inference.inverse import Inverse, identity, read_inverse
from DeepImagingLib.inference.ladder import Way
from DeepImagingLib.inference.loop import Loop
from DeepImagingLib.inference.memory import release_pinned
from DeepImagingLib.inference.network import Caller
from DeepImagingLib.inference.recipe import Recipe
from DeepImagingLib.inference.reduce import Labels, Mapped, Volumes, keeper_of
from DeepImagingLib.inference.sweep import Sweep
from DeepImagingLib.inference.threads import one_thread
from DeepImagingLib.tasks.segmentation import Argmax, Masks, Reducer

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from DeepImagingLib.inference.progress import Monitor
    from DeepImagingLib.inference.windows import Windows


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
        self._loop = Loop(caller, way, self._move)
        # An argmax needs a softmax only where it interpolates.
        finish, later = ("", "softmax") if _is_softmax_decided(recipe, reducer) else (recipe.activation, "")
        self._keeper = keeper_of(reducer, inverse.shape, channels, ACTIVATIONS[later])
        known = finish or recipe.after
        before = "" if known else "softmax" if isinstance(reducer, Argmax) else "sigmoid"
        self._volumes = Volumes(back.shape, shown, ACTIVATIONS[before], recipe.after)
        windows = caller.windows
        self._mapped = [Mapped(inverse, windows.axis, self._keeper, caller.ask)]
        if shown:
            self._mapped.append(Mapped(back, windows.axis, self._volumes, caller.ask))
        self._sweep: Sweep | None = None
        self._new_sweep = partial(Sweep, windows, channels, ACTIVATIONS[finish], self._finished)

    def go(self, monitor: Monitor) -> Swept:
        """Run all windows.

        Raises:
            MemoryLimitError: Memory ran out, and nothing is left to give.
            CancelledError: The monitor was told to stop.
            UnknownOutput: The network's output can't be swept.
        """
        monitor.count()
        try:
            self._sweep_all(monitor)
        finally:
            if self._caller.device.type == "cuda":
                release_pinned()
        answer = self._keeper.labels if isinstance(self._keeper, Labels) else self._keeper.masks
        return Swept(answer, self._volumes.volumes, self._loop.way)

    def _sweep_all(self, monitor: Monitor) -> None:
        for first, arrival in self._loop.outputs(monitor):
            outputs = arrival.wait()
            with monitor.aside("Post-processing"):
                sweep = self._add(first, outputs)
            del arrival, outputs  # or they would be kept while the next are computed
        with monitor.aside("Post-processing"), one_thread(sweep.is_small):
            self._loop.attempt(sweep.end)

    def _add(self, first: int, outputs: torch.Tensor) -> Sweep:
        """Add up outputs (B, K, I, J, K) of the windows from the `first`; returns where."""
        if self._sweep is None:
            channels_last = cells.is_channels_last(outputs[0])
            self._sweep = self._loop.attempt(lambda: self._new_sweep(self._loop.way.store, channels_last=channels_last))
        sweep = self._sweep
        with one_thread(sweep.is_small):
            for start, output in zip(self._caller.windows.starts[first:], outputs):
                self._loop.attempt(partial(sweep.add, start, output))
        return sweep

    def _finished(self, values: torch.Tensor, first: int, stop: int) -> None:
        for mapped in self._mapped:
            mapped.take(values, first, stop)

    def _move(self, store: torch.device) -> None:
        if self._sweep is not None:
            self._sweep.move(store)


def _is_softmax_decided(recipe: Recipe, reducer: Reducer) -> bool:
    return isinstance(reducer, Argmax) and recipe.activation == "softmax"


def _softmax(values: torch.Tensor) -> torch.Tensor:
    return values.softmax(0)


def _sigmoid(values: torch.Tensor) -> torch.Tensor:
    return values.sigmoid()


def _as_they_are(values: torch.Tensor) -> torch.Tensor:
    return values


ACTIVATIONS: dict[str, Activation] = {"": _as_they_are, "softmax": _softmax, "sigmoid": _sigmoid}
"""Of values (K, ...)."""


def decided(output: torch.Tensor, recipe: Recipe, reducer: Reducer) -> torch.Tensor:
    """Return labels (B, I, J, K), or masks (B, K, I, J, K), of a network's output as it is."""
    values = ACTIVATIONS[recipe.activation](output.movedim(1, 0))
    if isinstance(reducer, Argmax):
        return values.argmax(0)
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
