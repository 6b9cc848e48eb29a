"""Run a network once and note what each layer gives, and which part of the image each cell of it looks at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.explain.asking import batch_of, undisturbed

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

Floats = npt.NDArray[np.float64]
Cells = tuple[int, ...]


@dataclass(frozen=True)
class Field:
    """Where the cells of a grid look, in voxels of the image along each axis (D,).

    Attributes:
        first: The middle of what the first cell sees.
        step: From there to the middle of what the next sees.
    """

    first: Floats
    step: Floats

    def then(self, further: Field) -> Field:
        """Return the field of a grid whose cells look at this one's."""
        return Field(self.first + self.step * further.first, self.step * further.step)


def even(voxels: Cells, cells: Cells) -> Field:
    """Return the field of cells that share an image evenly."""
    step = np.array(voxels) / cells
    return Field((step - 1) / 2, step)


@dataclass
class Walk:
    """What a network did on the way to its answer.

    Attributes:
        size: Voxels of the image (I, J[, K]).
        calls: Name of each layer that gave one tensor, its shape, and whether it has weights, in order.
        fields: Number of cells to where they look. Layers of the same size look alike: padded convolutions keep the
            field, and branches that meet have one.
    """

    size: Cells
    calls: list[tuple[str, Cells, bool]] = field(default_factory=list)
    fields: dict[Cells, Field] = field(default_factory=dict)

    def spatial(self) -> Iterator[tuple[int, str, Cells]]:
        """Yield number of the call, name and cells of what is laid out as the image is, in more than one cell."""
        for number, (name, shape, _) in enumerate(self.calls):
            laid_out = len(shape) == len(self.size) + 2 and not _is_channels_last(shape, self.size)
            if name and laid_out and math.prod(shape[2:]) > 1:
                yield number, name, shape[2:]

    def field_of(self, cells: Cells) -> Field:
        """Return where cells look; evenly over the image, where no layer told."""
        return self.fields.get(cells) or even(self.size, cells)

    def note(self, name: str, layer: torch.nn.Module, inputs: Any, output: Any) -> None:
        """Take down a call, as a forward hook."""
        import torch

        if not isinstance(output, torch.Tensor):
            return
        if not _is_pad(layer):
            self.calls.append((name, tuple(output.shape), next(layer.parameters(recurse=False), None) is not None))
        if not inputs or not isinstance(inputs[0], torch.Tensor) or inputs[0].ndim != output.ndim:
            return
        before, after = tuple(inputs[0].shape[2:]), tuple(output.shape[2:])
        if len(after) == len(self.size) and after not in self.fields and not list(layer.children()):
            self.fields[after] = self.field_of(before).then(_of_layer(layer, before, after))


def walk(network: torch.nn.Module, image: MetaTensor) -> Walk:
    """Return what a network does with an image (C, I, J[, K]); what is TorchScript within it stays unseen."""
    import torch

    size = tuple(image.shape[1:])
    found = Walk(size, fields={size: even(size, size)})
    with undisturbed(network), ExitStack() as hooks:
        for name, layer in network.named_modules():
            if not isinstance(layer, torch.jit.ScriptModule):
                hooks.callback(layer.register_forward_hook(partial(found.note, name)).remove)
        network(batch_of(network, image))
    return found


def _is_channels_last(shape: Cells, size: Cells) -> bool:
    """Tell whether sides of a layer fit the image's far better without the last axis than without the channels'."""
    last, first = (np.ptp(np.log(np.array(cells) / size)) for cells in (shape[1:-1], shape[2:]))
    return bool(last < first - 1)  # by a factor of e; rounding changes small grids by less


def _is_pad(layer: torch.nn.Module) -> bool:
    import torch

    kinds = (getattr(torch.nn, f"{kind}Pad{rank}d") for kind in ("Constant", "Zero") for rank in (1, 2, 3))
    return isinstance(layer, tuple(kinds))


def _of_layer(layer: Any, before: Cells, after: Cells) -> Field:
    """Return where the cells after a layer look among those before it.

    Arithmetic of convolutions: Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill
    2019.
    """
    rank = len(before)
    padding: Any = getattr(layer, "padding", 0)
    if _is_pad(layer):  # the last axis comes first
        return Field(-np.array(padding[::2][::-1], dtype=np.float64), np.ones(rank))
    if not hasattr(layer, "kernel_size") or getattr(layer, "transposed", False) or isinstance(padding, str):
        return even(before, after)
    kernel, stride, dilation, padded = (
        np.broadcast_to(np.asarray(each, dtype=float), rank)
        for each in (layer.kernel_size, layer.stride, getattr(layer, "dilation", 1), padding)
    )
    return Field(dilation * (kernel - 1) / 2 - padded, stride)
