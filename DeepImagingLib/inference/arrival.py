"""Bring what a GPU computed to where it is added up, while it computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Arrival:
    """A tensor on its way to a device; from a GPU to the host it goes on a stream of its own.

    Args:
        sent: Just computed, on the current stream.
        goal: Where it is to be.
    """

    def __init__(self, sent: torch.Tensor, goal: torch.device) -> None:
        import torch

        self._tensor, self._copied = sent, None
        if sent.device.type == "cuda" and goal.type == "cpu":
            aside = torch.cuda.Stream(sent.device)  # type: ignore[no-untyped-call]  # not typed in torch
            aside.wait_stream(torch.cuda.current_stream(sent.device))
            with torch.cuda.stream(aside):
                self._tensor = torch.empty_like(sent, device=goal, pin_memory=True)
                self._tensor.copy_(sent, non_blocking=True)
                self._copied = aside.record_event()
            sent.record_stream(aside)  # its memory isn't given away before it is copied

    def wait(self) -> torch.Tensor:
        """Return the tensor, complete."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor
