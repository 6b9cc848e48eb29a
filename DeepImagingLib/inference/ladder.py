"""How a run computes at present, and what gives when memory runs out: smaller batch, half precision, host, CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from DeepImagingLib.inference.memory import is_out_of_memory, release

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

T = TypeVar("T")

AS_PLANNED = "as planned"


@dataclass(frozen=True)
class Way:
    """One way of computing.

    Attributes:
        device: Where the network runs.
        store: Where its windows are added up.
        batch: Windows at once.
        dtype: Of its arithmetic.
        may_halve: Whether half precision may be taken.
        step: What gave last; "as planned" where nothing had to.
    """

    device: torch.device
    store: torch.device
    batch: int
    dtype: torch.dtype
    may_halve: bool = False
    step: str = AS_PLANNED

    @property
    def precision(self) -> str:
        """Name of the arithmetic: "full" for float32."""
        import torch

        return "full" if self.dtype == torch.float32 else str(self.dtype).removeprefix("torch.")


def descend(way: Way, action: Callable[[Way], T], lowered: Callable[[Way], None]) -> tuple[T, Way]:
    """Do what may need more memory than there is, again after each step down.

    Args:
        way: To compute at first.
        action: Given the way.
        lowered: Told of each lower way before the action is tried again.

    Returns:
        What the action returned, and the way it ended on.

    Raises:
        MemoryError, RuntimeError: Memory ran out, and nothing is left to give; whatever else the action raises.
    """
    while True:
        try:
            return action(way), way
        except Exception as error:
            lower = step_down(way) if is_out_of_memory(error) else None
            if lower is None:
                raise
        way = lower  # beyond the error, whose frames hold what must be let go first
        log.warning("Memory ran out; going on: %s.", way.step)
        release()
        lowered(way)


def step_down(way: Way) -> Way | None:
    """Return the next way that needs less memory, None where there is none left."""
    import torch

    host = torch.device("cpu")
    if way.batch > 1:
        return replace(way, batch=way.batch // 2, step="smaller batch")
    if way.may_halve and way.dtype == torch.float32:
        return replace(way, dtype=half_of(way.device), step="half precision")
    if way.store != host:
        return replace(way, store=host, step="added up on the host")
    if way.device != host:
        return replace(way, device=host, dtype=torch.float32, step="on the CPU")
    return None


def half_of(device: torch.device) -> torch.dtype:
    """Return the half precision that a device is quick with; bfloat16, which has float's range, where it is."""
    import torch

    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.float16 if device.type == "mps" else torch.bfloat16
