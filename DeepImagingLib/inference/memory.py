"""How much memory there is, how much a step takes, and what it looks like when there is none left."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

KIB = 1024
PHRASES = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory", "alloc_failed")
DEVICE_SHARE, HOST_SHARE = 0.8, 0.6
CGROUP = Path("/sys/fs/cgroup")
STATUS = Path("/proc/self/status")


def peak_memory() -> int:
    """Return the highest resident set size of this process so far, in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if STATUS.is_file():  # what getrusage tells is that of the parent, where that was larger
        told = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
        if told:
            return int(told[1]) * KIB
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * KIB)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on the host or on a GPU; MONAI wraps what a transform raised."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(phrase in text for phrase in PHRASES):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def release() -> None:
    """Give back what is no longer held, of the host and of GPUs."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        release_pinned()


def release_pinned() -> None:
    """Give back the host's memory that GPUs wrote to, which torch keeps for the next time; older torch can't."""
    import torch

    empty = getattr(getattr(torch.accelerator, "memory", None), "empty_host_cache", None)
    if empty is not None:
        empty()


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device: of a GPU, or of what this process may still take of the host."""
    import psutil
    import torch

    if device.type == "cuda":
        # What torch keeps for itself without using it can be used again.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return max(min(int(psutil.virtual_memory().available), *_limits()), 0)


def share(device: torch.device) -> float:
    """Return which part of the free memory of a device a run may take unless told otherwise."""
    return HOST_SHARE if device.type == "cpu" else DEVICE_SHARE


def _limits() -> Iterator[int]:
    """Yield what is left within each limit that is set for this process: by a container, or by `ulimit`."""
    yield sys.maxsize
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            told = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
            cached = int(told.get("inactive_file", 0))  # files that were read, which give way
            yield int(limit) - int((CGROUP / "memory.current").read_text()) + cached
    except (OSError, ValueError):
        pass  # no such limit here
    if sys.platform == "win32":
        return
    import resource

    import psutil

    used = psutil.Process().memory_info()
    for kind, taken in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, getattr(used, "data", used.rss))):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield soft - taken


class Usage:
    """The bytes that a step took at most, once it has ended."""

    peak = 0


@contextmanager
def measured(device: torch.device) -> Iterator[Usage]:
    """Measure what tensors that are made within take on a device at most.

    On a CPU they are counted as they come and go, since the process's own size hides what it took before; the scratch
    space of a convolution isn't seen there, and a quarter is added for it.
    """
    import torch

    usage = Usage()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield usage
        usage.peak = torch.cuda.max_memory_allocated(device) - before
        return
    from DeepImagingLib.inference.counting import TensorCount

    with TensorCount() as count:
        yield usage
    usage.peak = count.peak * 5 // 4
