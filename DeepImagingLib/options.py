"""What can be asked of a run: one frozen dataclass, checked in one place, the same names in panel, CLI and script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from DeepImagingLib.errors import InputError

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
PRECISIONS = ("auto", "full", "half")
AXES = "ijk"
METHODS = ("gradcam", "gradcam++", "integrated_gradients", "occlusion")
"""Ways to show what a classifier saw."""
LEAST_MEMORY = 64 << 20
"""Bytes below which no run is possible, so that a forgotten unit is noticed."""
SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kmgt])(i?)b", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """How to run a bundle.

    Attributes:
        device: "auto" (the fastest there is), "cpu", "cuda", "cuda:N" or "mps".
        precision: "full" computes in float32, as stock MONAI does; "half" in bfloat16 or float16; "auto" in half
            where one window, tried both ways, is quicker so and keeps its mask, else in full.
        roi: Half-open voxel ranges ((i0, i1), (j0, j1), (k0, k1)) of the input to which the run is limited;
            the result still has the input's geometry and is empty outside.
        memory_limit: Bytes that the run may use where it computes, of the GPU's memory or of the host's; None takes
            80 % of what is free on a GPU, 60 % on the host. The scan as it is read comes on top, of a segmentation
            also as it is prepared.
        probabilities: Names of the labels whose probability volumes come with the result; ("all",) stands for every
            label but the background.
        tta: Test-time augmentation: letters of "ijk", the axes of the network's grid along which the image is run
            mirrored as well. All combinations of n axes are run, 2**n in number, and their answers averaged.
        heatmaps: Names of a classifier's labels to show what it saw of; ("all",) stands for every one, ("top",) for the
            most probable one where one excludes the others, else for all that are found, or the most probable finding.
        method: How heatmaps are made: one of METHODS.
        layer: Of the network, that a class activation map is of; "" takes the last one with a spatial answer.

    Raises:
        InputError: A value is none of those.

    Example:
        >>> Options(device="cpu", roi=((0, 64), (0, 64), (10, 40))).precision
        'auto'
    """

    device: str = "auto"
    precision: str = "auto"
    roi: tuple[tuple[int, int], ...] | None = None
    memory_limit: int | None = None
    probabilities: tuple[str, ...] = ()
    tta: str = ""
    heatmaps: tuple[str, ...] = ()
    method: str = METHODS[0]
    layer: str = ""

    def __post_init__(self) -> None:
        """Check every value once, so that nothing downstream has to."""
        if not DEVICE.fullmatch(str(self.device)):
            raise InputError(f"Device {self.device!r} is unknown; use auto, cpu, cuda, cuda:N or mps.")
        if self.precision not in PRECISIONS:
            raise InputError(f"Precision {self.precision!r} is unknown; use one of {', '.join(PRECISIONS)}.")
        if self.roi is not None:
            object.__setattr__(self, "roi", checked_roi(self.roi))
        _check_memory_limit(self.memory_limit)
        if self.method not in METHODS:
            raise InputError(f"Heatmaps by {self.method!r} can't be made; use one of {', '.join(METHODS)}.")
        object.__setattr__(self, "probabilities", _checked_names(self.probabilities, "Probabilities"))
        object.__setattr__(self, "heatmaps", _checked_names(self.heatmaps, "Heatmaps"))
        object.__setattr__(self, "tta", _checked_axes(self.tta))

    def as_plain(self) -> dict[str, Any]:
        """Return the options as plain values, for a provenance record."""
        roi = self.roi and [list(r) for r in self.roi]
        return {**vars(self), "roi": roi, "probabilities": list(self.probabilities), "heatmaps": list(self.heatmaps)}


def _check_memory_limit(limit: Any) -> None:
    if limit is not None and type(limit) is not int:
        raise InputError(f"Memory limit {limit!r} is not a whole number of bytes.")
    if limit is not None and limit < LEAST_MEMORY:
        raise InputError(f"Memory limit of {limit} bytes is too small for any run; give 64 MiB at least.")


def _checked_names(names: Any, what: str) -> tuple[str, ...]:
    """Return the names, each once."""
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(f"{what} {names!r} are not all names of labels; name each label, or give 'all'.")
    return tuple(dict.fromkeys(names))


def _checked_axes(axes: Any) -> str:
    """Return the letters in the order of the axes: "ki" asks for the same as "ik"."""
    if not isinstance(axes, str) or set(axes) - set(AXES) or len(set(axes)) < len(axes):
        raise InputError(f"Axes to mirror {axes!r} are not letters of {AXES!r}, each once at most.")
    return "".join(sorted(axes))


def checked_roi(roi: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Return `roi` as tuples of ints; raises InputError where a range is empty, negative or not a pair."""
    try:
        ranges = tuple((int(start), int(stop)) for start, stop in roi)
    except (TypeError, ValueError):
        ranges = ()
    if len(ranges) not in (2, 3) or any(not 0 <= start < stop for start, stop in ranges):
        raise InputError(f"Region {roi!r} is not of the form I0:I1,J0:J1,K0:K1 with 0 <= start < stop on each axis.")
    return ranges


def parse_roi(text: str) -> tuple[tuple[int, int], ...]:
    """Read "I0:I1,J0:J1,K0:K1"; raises InputError where the text is something else."""
    parts = [part.split(":") for part in text.split(",")]
    if any(len(part) != 2 or not all(p.strip().isdigit() for p in part) for part in parts):
        raise InputError(f"Region {text!r} is neither I0:I1,J0:J1,K0:K1 nor a file that exists.")
    return checked_roi([(int(start), int(stop)) for start, stop in parts])


def parse_memory(text: str) -> int:
    """Read an amount of memory, "4GB", "500 MB" or "1.5GiB", in bytes; raises InputError where the text is none."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise InputError(f"Memory {text!r} is not a number with a unit, such as 4GB, 500 MB or 1.5GiB.")
    number, prefix, binary = found.groups()
    return round(float(number) * (1024 if binary else 1000) ** (1 + "kmgt".index(prefix.lower())))
