"""Objects on their way between processes: a small pickle, and their arrays in one shared block.

Pickled with out-of-band buffers (PEP 574), so that an array is copied once, into the block, and looked at there by the
other end. The copy is done in slices, for a GUI that has something else to do in between.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.hosts.block import Block

SLICE = 8 << 20
"""Bytes copied at once: some milliseconds."""
ALIGNMENT = 64
OWN_PACKAGE = "DeepImagingLib"
FOREIGN = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
}
"""What a GUI lets a worker name, beside classes of this library: a worker that runs foreign code isn't believed."""


class Parcel:
    """Something ready to be sent.

    Attributes:
        text: The pickle.
        sizes: Of the arrays, in bytes; they are yet to be copied into a block.
        total: Bytes of the block that takes them, 0 where none is needed.
    """

    def __init__(self, value: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        with io.BytesIO() as file:
            _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
            self.text = file.getvalue()
        self._arrays = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]
        self.sizes = tuple(array.size for array in self._arrays)
        self.total = needed(self.sizes)

    def fill(self, block: Block) -> Iterator[int]:
        """Copy the arrays into a block of `total` bytes, slice by slice; yields the bytes of each slice."""
        memory = np.frombuffer(block.memory, np.uint8)
        for array, start in zip(self._arrays, _starts(self.sizes), strict=True):
            for first in range(0, array.size, SLICE):
                piece = array[first : first + SLICE]
                memory[start + first : start + first + piece.size] = piece
                yield piece.size


def needed(sizes: Sequence[int]) -> int:
    """Return how many bytes a block needs for arrays of these sizes; 0 where there is nothing to share."""
    return sum(_aligned(size) for size in sizes)


def message(*parts: Any) -> bytes:
    """Return a small message of plain values."""
    return pickle.dumps(parts)


def unpack(text: bytes, sizes: Sequence[int] = (), block: Block | None = None, *, believed: bool = False) -> Any:
    """Return the object; its arrays look into the block.

    Args:
        text: Its pickle.
        sizes: Of its arrays, in bytes.
        block: Where these lie; None where there are none.
        believed: False lets it name results of this library and plain values, no code.

    Raises:
        pickle.UnpicklingError: It names something else.
    """
    whole = memoryview(block.memory) if block is not None else memoryview(b"")
    buffers = [whole[start : start + size] for start, size in zip(_starts(sizes), sizes, strict=True)]
    make = pickle.Unpickler if believed else _Unpickler
    return make(io.BytesIO(text), buffers=buffers).load()


def _starts(sizes: Sequence[int]) -> list[int]:
    return [sum(_aligned(size) for size in sizes[:index]) for index in range(len(sizes))]


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class _Pickler(pickle.Pickler):
    """Sends arrays in the order in which their memory lies: numpy itself would rearrange all but two orders."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not np.ndarray or value.dtype.hasobject or value.flags.c_contiguous:
            return NotImplemented
        order = sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis]))
        straight = value.transpose(order)
        if not straight.flags.c_contiguous:
            return NotImplemented
        return _turned, (straight, tuple(order))


def _turned(straight: npt.NDArray[Any], order: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the array whose axes were put into `order`."""
    return straight.transpose(np.argsort(order))


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == OWN_PACKAGE


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (_turned.__module__, _turned.__name__):
            return _turned
        if (module, name) in FOREIGN:
            return super().find_class(module, name)
        if _is_own(module) and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and _is_own(found.__module__):
                return found
        raise pickle.UnpicklingError(f"the worker sent a {module}.{name}")
