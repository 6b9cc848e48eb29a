"""What a training says when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from DeepImagingLib.errors import DeepImagingError, MemoryLimitError
from DeepImagingLib.inference.memory import is_out_of_memory


@contextmanager
def enough_room(device: torch.device | str) -> Iterator[None]:
    """Turn running out of memory within into MemoryLimitError, which says what to make smaller."""
    try:
        yield
    except DeepImagingError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError(
            f"The training needs more memory than {device} has; set a smaller `patch` or `batch_size`, keep fewer "
            "scans in memory (`cache_gb`), or train on another device."
        ) from error
