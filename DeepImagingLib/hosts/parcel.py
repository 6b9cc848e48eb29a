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
BELIEVED = {
    "DeepImagingLib.files.voxels": {"Voxels"},
    "DeepImagingLib.hosts.job": {"Outcome"},
    "DeepImagingLib.hosts.outlook": {"Outlook"},
    "DeepImagingLib.hosts.parcel": {"_array", "_same"},
    "DeepImagingLib.hosts.training": {"Outline", "Trained"},
    "DeepImagingLib.results": {
        "Classification",
        "Code",
        "Detection",
        "Detections",
        "Heatmap",
        "Provenance",
        "Segment",
        "Segmentation",
        "Terminology",
    },
    "DeepImagingLib.study": {"Summary"},
    "DeepImagingLib.tasks.measures": {"Measure"},
    "pathlib": {"PosixPath", "WindowsPath"},
    "pathlib._local": {"PosixPath", "WindowsPath"},
}
"""What a GUI lets a worker make here beside plain values: a worker that runs foreign code isn't believed."""


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
        believed: False lets it make results of this library and plain values, nothing else.

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
    """Sends arrays as they lie in memory, whatever the order of their axes, and numpy's numbers as Python's."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            return _same, (value.item(),)
        if type(value) is not np.ndarray:
            return NotImplemented
        if value.dtype.hasobject or value.dtype.fields:
            raise TypeError(f"an array of {value.dtype} can't be sent")
        order = sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis]))
        straight = np.ascontiguousarray(value.transpose(order)).reshape([value.shape[axis] for axis in order])
        return _array, (pickle.PickleBuffer(straight.data), value.dtype.str, straight.shape, tuple(order))


def _array(memory: Any, kind: str, shape: tuple[int, ...], order: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the array whose axes were put into `order`; it looks into the memory."""
    dtype = np.dtype(kind)
    if dtype.hasobject:
        raise pickle.UnpicklingError("the worker sent an array of objects")
    return np.ndarray(shape, dtype, memory).transpose(np.argsort(order))


def _same(value: Any) -> Any:
    return value


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in BELIEVED.get(module, ()):
            raise pickle.UnpicklingError(f"the worker sent a {module}.{name}")
        return super().find_class(module, name)
