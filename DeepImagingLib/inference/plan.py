"""What a run will need and how it will compute, worked out before its first window."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepImagingLib.errors import MemoryLimitError
from DeepImagingLib.inference import cells
from DeepImagingLib.inference.ladder import Way, half_of, step_down
from DeepImagingLib.inference.memory import free_memory, share
from DeepImagingLib.inference.sweep import KEPT
from DeepImagingLib.inference.windows import Windows

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.inference.probe import Probe

FLOAT = 4
GB = 1e9
CELLS = 6 * cells.CELL_BYTES  # the boundary cells in work: their corners, contenders and blocks


@dataclass(frozen=True)
class Need:
    """Bytes that a run takes on top of the scan, the model and what is there already.

    Attributes:
        window: One window within the network, its output included.
        sums: Windows that are added up, over the cross-section of the scan.
        result: Labels or masks, and the volumes asked for.
        output: Of one window, of which a GPU computes the next while one is added up.
        cells: Boundary cells in work.
        image: What the network is given, where it isn't counted as the scan.
        preparing: What making that takes, before the first window.
    """

    window: int
    sums: int
    result: int
    output: int = 0
    cells: int = CELLS
    image: int = 0
    preparing: int = 0

    def on_device(self, way: Way) -> int:
        """Return the bytes where the network runs."""
        sums = self.sums + self.cells if way.store == way.device else 0
        if way.device.type == "cpu":
            return max(self.preparing, way.batch * self.window + sums + self.result + self.image)
        return way.batch * (self.window + self.output) + sums

    def on_host(self, way: Way) -> int:
        """Return the bytes of the host."""
        if way.device.type == "cpu":
            return self.on_device(way)
        # What GPUs write to comes in powers of two.
        pinned = 2 * (1 << (way.batch * self.output).bit_length())
        sums = self.sums + self.cells + pinned if way.store.type == "cpu" else 0
        return max(self.preparing, sums + self.result + self.image)

    def of_part(self, extent: float) -> Need:
        """Return what a region takes that has this part of the scan's extent along each axis."""
        solid = {name: int(getattr(self, name) * extent**3) for name in ("result", "image", "preparing")}
        return replace(self, sums=int(self.sums * extent**2), **solid)


@dataclass(frozen=True)
class Plan:
    """How a run will compute.

    Attributes:
        way: Device, batch, arithmetic, and where windows are added up.
        windows: How many there are.
        need: What that takes.
        limits: Bytes that may be taken of the device and of the host.
        seconds: The windows will take, by the one that was tried; None where they are to run elsewhere.
    """

    way: Way
    windows: int
    need: Need
    limits: tuple[int, int]
    seconds: float | None

    @property
    def sentence(self) -> str:
        """Tell the plan in one line."""
        way = self.way
        host = self.need.on_host(way)
        parts = [f"{self.windows} window{'s' if self.windows != 1 else ''} on {way.device}, {way.batch} at once"]
        parts.append("full precision" if way.precision == "full" else f"{way.precision} precision")
        if way.device.type != "cpu":
            parts.append(f"added up on {'the GPU' if way.store == way.device else 'the host'}")
            parts.append(f"{_gb(self.need.on_device(way))} of {_gb(self.limits[0])} on the GPU")
        parts.append(f"{_gb(host)} of {_gb(self.limits[1])} of memory")
        if self.seconds is not None:
            parts.append(f"about {max(self.seconds, 1):.0f} s")
        return ", ".join(parts) + "."


def limits(device: torch.device, asked: int | None) -> tuple[int, int]:
    """Return the bytes that a run may take of a device and of the host, `asked` being for the former."""
    import torch

    host = torch.device("cpu")
    free = int(share(host) * free_memory(host))
    if device.type == "cpu":
        return (asked or free,) * 2
    return asked or int(share(device) * free_memory(device)), free


def need_of(windows: Windows, probe: Probe, voxels: int, masks: int, volumes: int) -> Need:
    """Return what a sweep takes.

    Args:
        windows: That it goes over.
        probe: What one of them told.
        voxels: Of the result.
        masks: Bytes of labels or masks for a voxel.
        volumes: How many float volumes come with them.
    """
    depth = windows.size[windows.axis]
    planes = min(windows.window[windows.axis] + KEPT, depth)
    sums = planes * (math.prod(windows.size) // depth) * (probe.channels + 1) * FLOAT
    output = probe.channels * math.prod(windows.window) * FLOAT
    parts = 4 * min(sums, cells.PART_BYTES)  # voxels at borders, their softmax, both once more in another order
    sums += output  # the tried window's waits for its turn
    return Need(probe.bytes, sums, voxels * (masks + volumes * FLOAT), output, CELLS + parts)


def make_plan(way: Way, windows: Windows, probe: Probe, need: Need, allowed: tuple[int, int]) -> Plan:
    """Choose the way that needs least change to fit.

    Raises:
        MemoryLimitError: None fits; with the numbers and what would.
    """
    count = len(windows.starts)
    plan = Plan(replace(way, dtype=probe.dtype), count, need, allowed, count * probe.seconds)
    while not fits(plan):
        lower = step_down(plan.way)
        if lower is None:
            raise MemoryLimitError(refusal(plan))
        halved = plan.way.precision == "full" != lower.precision
        need = replace(plan.need, window=plan.need.window // 2) if halved else plan.need
        seconds = plan.seconds if lower.device == way.device else None
        plan = replace(plan, way=replace(lower, step=way.step), need=need, seconds=seconds)
    return plan


def fits(plan: Plan) -> bool:
    """Tell whether what a plan needs is within its limits."""
    device, host = plan.limits
    on_device = plan.way.device.type == "cpu" or plan.need.on_device(plan.way) <= device
    return on_device and plan.need.on_host(plan.way) <= host


def refusal(plan: Plan) -> str:
    """Tell what is needed, what there is, and by how much the region has to shrink."""
    on_host = plan.need.on_host(plan.way) > plan.limits[1]
    needed = plan.need.on_host(plan.way) if on_host else plan.need.on_device(plan.way)
    limit = plan.limits[1 if on_host else 0]
    where = "memory" if on_host else f"the memory of {plan.way.device}"
    advice = "close other programs, or raise the memory limit"
    parts = (percent for percent in range(95, 0, -5) if fits(replace(plan, need=plan.need.of_part(percent / 100))))
    percent = next(parts, 0)
    if percent:
        advice = f"limit it to a region of about {percent} % of the scan's extent along each axis, {advice}"
    return f"The run needs {_gb(needed)} of {where}, but may take {_gb(limit)}; {advice}."


def _gb(size: int) -> str:
    return f"{size / GB:.1f} GB" if size >= GB else f"{1000 * size / GB:.0f} MB"


@dataclass(frozen=True)
class AsItIs:
    """The outlook of a run that can't be planned, as its steps are the bundle's own.

    Attributes:
        reason: Why it can't be swept.
    """

    reason: str

    @property
    def sentence(self) -> str:
        """Tell it in one line."""
        return f"All channels at once, as the bundle has it ({self.reason}); what that takes can't be told before."


@dataclass(frozen=True)
class InParts:
    """The outlook of a classifier, which sees its input whole, or slice by slice, or patch by patch.

    Attributes:
        sentence: How many there are, and where.
    """

    sentence: str


def starting_way(device: torch.device, windows: Windows, precision: str) -> Way:
    """Return the way a run is planned from: all on its device, as many windows at once as the bundle asks for."""
    import torch

    dtype = half_of(device) if precision == "half" else torch.float32
    batch = min(windows.batch, len(windows.starts))
    return Way(device, device, batch, dtype, may_halve=precision == "auto")
