"""How much memory the process has needed, and what it says when there is none left."""

from __future__ import annotations

import sys

KIB = 1024
PHRASES = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def peak_memory() -> int:
    """Return the highest resident set size of this process so far, in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * KIB)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on the host or on a GPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in PHRASES)


def release() -> None:
    """Give back what is no longer held, of the host and of GPUs."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
