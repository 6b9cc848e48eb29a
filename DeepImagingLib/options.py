"""What can be asked of a run: one frozen dataclass, checked in one place, the same names in panel, CLI and script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from DeepImagingLib.errors import InputError

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
PRECISIONS = ("auto", "full")


@dataclass(frozen=True)
class Options:
    """How to run a bundle.

    Attributes:
        device: "auto" (the fastest there is), "cpu", "cuda", "cuda:N" or "mps".
        precision: "full" computes in float32, as stock MONAI does; "auto" may compute faster where the mask
            is known to stay the same. In this version "auto" computes in float32 too.
        roi: Half-open voxel ranges ((i0, i1), (j0, j1), (k0, k1)) of the input to which the run is limited;
            the result still has the input's geometry and is empty outside.

    Raises:
        InputError: A value is none of those.

    Example:
        >>> Options(device="cpu", roi=((0, 64), (0, 64), (10, 40))).precision
        'auto'
    """

    device: str = "auto"
    precision: str = "auto"
    roi: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        """Check every value once, so that nothing downstream has to."""
        if not DEVICE.fullmatch(str(self.device)):
            raise InputError(f"Device {self.device!r} is unknown; use auto, cpu, cuda, cuda:N or mps.")
        if self.precision not in PRECISIONS:
            raise InputError(f"Precision {self.precision!r} is unknown; use one of {', '.join(PRECISIONS)}.")
        if self.roi is not None:
            object.__setattr__(self, "roi", checked_roi(self.roi))

    def as_plain(self) -> dict[str, Any]:
        """Return the options as plain values, for a provenance record."""
        return {"device": self.device, "precision": self.precision, "roi": self.roi and [list(r) for r in self.roi]}


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
