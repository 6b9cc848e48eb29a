"""Call the network on windows of an image, mirrored too where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, takewhile
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from DeepImagingLib.errors import InputError
from DeepImagingLib.inference.arrival import sent_to

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.inference.windows import Shape, Windows


class UnknownOutput(Exception):
    """A network answers with something else than channels over its window."""


_layouts: WeakKeyDictionary[torch.nn.Module, torch.memory_format] = WeakKeyDictionary()
"""In which the weights of networks lie that were used."""


@dataclass
class Caller:
    """A network, and how it is called at present.

    Attributes:
        network: In evaluation mode, on `device`.
        windows: Over `image`.
        image: (C, I, J, K), padded to the windows' grid.
        device: Where the network is.
        dtype: Of its arithmetic; torch.float32 is the network as it is.
        ask: Called before each call of the network; may raise.
        mirror: Axes along which each window is also seen mirrored.
        known: Outputs of windows that were computed already, by their start.
    """

    network: torch.nn.Module
    windows: Windows
    image: torch.Tensor
    device: torch.device
    dtype: torch.dtype
    ask: Callable[[], None]
    mirror: tuple[int, ...] = ()
    known: dict[Shape, torch.Tensor] = field(default_factory=dict)

    def use(self, device: torch.device, dtype: torch.dtype) -> None:
        """Compute there, and so; half precision likes channels last."""
        import torch
        from torch.nn.utils import convert_conv2d_weight_memory_format, convert_conv3d_weight_memory_format

        self.device, self.dtype = device, dtype
        solid = self.windows.flat is None
        convert = convert_conv3d_weight_memory_format if solid else convert_conv2d_weight_memory_format
        # Outside of inference mode, so that a network that stays warm can be differentiated later.
        with torch.inference_mode(False), torch.no_grad():
            self.network.to(device)
            if _layouts.get(self.network, torch.contiguous_format) != self._layout:
                convert(self.network, self._layout)
                _layouts[self.network] = self._layout

    @property
    def _layout(self) -> torch.memory_format:
        import torch

        if self.dtype == torch.float32:
            return torch.contiguous_format
        return torch.channels_last_3d if self.windows.flat is None else torch.channels_last

    def next(self, first: int, count: int) -> torch.Tensor:
        """Return the outputs (B, K, I, J, K) of up to `count` windows from the `first`; those known already alone."""
        starts = self.windows.starts[first : first + count]
        if starts[0] in self.known:
            return self.known.pop(starts[0])
        return self(list(takewhile(lambda start: start not in self.known, starts)))

    def __call__(self, starts: Sequence[Shape]) -> torch.Tensor:
        """Return the network's outputs (B, K, I, J, K) for the windows that start there.

        Raises:
            UnknownOutput: They aren't one tensor in the windows' own size.
        """
        import torch

        batch = sent_to(torch.stack([self.image[self._box(start)] for start in starts]), self.device)
        ways = list(_subsets(self.mirror))
        output = self._seen(batch, ways[0])
        for axes in ways[1:]:
            output += self._seen(batch, axes)
        return output.div_(len(ways)) if len(ways) > 1 else output

    def _box(self, start: Shape) -> tuple[slice, ...]:
        sides = (slice(first, first + n) for first, n in zip(start, self.windows.window, strict=True))
        return (slice(None), *sides)

    def _seen(self, batch: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Return the outputs as seen mirrored along axes, mirrored back."""
        import torch

        self.ask()
        dims = [axis + 2 for axis in axes]
        seen = batch.flip(dims) if dims else batch
        flat = self.windows.flat
        seen = seen if flat is None else seen.squeeze(flat + 2)
        seen = seen.contiguous(memory_format=self._layout)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output = self._taken(self.network(seen), seen)
        return output.flip(dims) if dims else output

    def _taken(self, output: Any, seen: torch.Tensor) -> torch.Tensor:
        """Return the network's output (B, K, I, J, K) for a batch of windows."""
        import torch

        if not isinstance(output, torch.Tensor) or output.shape[2:] != seen.shape[2:] or len(output) != len(seen):
            raise UnknownOutput("the network's output isn't in the size of its window")
        flat = self.windows.flat
        return output if flat is None else output.unsqueeze(flat + 2)


def padded(image: torch.Tensor, windows: Windows) -> torch.Tensor:
    """Return an image (C, I, J, K) or (C, I, J) with the margins that the windows ask for, as a volume."""
    import torch

    picture = image.ndim == 3
    image = image[..., None] if picture else image
    if not any((*windows.before, *windows.after)):
        return image
    mode, value = windows.padding
    margins: list[int] = []
    for axis in reversed(range(3)):
        margins += (windows.before[axis], windows.after[axis])
    # A picture's third axis is none of its own: other modes than a constant pad no more axes than there are.
    if picture and mode != "constant":
        return torch.nn.functional.pad(image[None, ..., 0], margins[2:], mode, value)[0][..., None]
    return torch.nn.functional.pad(image[None], margins, mode, value)[0]


def _subsets(axes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for count in range(len(axes) + 1):
        yield from combinations(axes, count)


def mirror_axes(letters: str, windows: Windows) -> tuple[int, ...]:
    """Return the axes that letters of "ijk" name.

    Raises:
        InputError: The network doesn't see one of them.
    """
    axes = tuple("ijk".index(letter) for letter in letters)
    if windows.flat in axes:
        letter = letters[axes.index(windows.flat)]
        raise InputError(f"The network works on slices and doesn't see axis {letter!r}; leave it out of tta.")
    return axes
