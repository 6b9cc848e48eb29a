"""Take over what a GPU computes, while it computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Arrival:
    """A tensor that may still be in the making; one that is to come to the host is copied on a stream of its own.

    Args:
        sent: Of the current stream.
        goal: Where it is wanted. Only from a GPU to the host is it taken there.
    """

    def __init__(self, sent: torch.Tensor, goal: torch.device) -> None:
        import torch

        self._tensor, self._done = sent, None
        if sent.device.type != "cuda":
            return
        stream = torch.cuda.current_stream(sent.device)
        if goal.type == "cpu":
            aside = torch.cuda.Stream(sent.device)  # type: ignore[no-untyped-call]  # not typed in torch
            aside.wait_stream(stream)
            with torch.cuda.stream(aside):
                self._tensor = _on_host(sent)
            sent.record_stream(aside)  # its memory isn't given away before it is copied
            stream = aside
        self._done = stream.record_event()

    def wait(self) -> torch.Tensor:
        """Return the tensor, complete."""
        if self._done is not None:
            self._done.synchronize()
        return self._tensor


def _on_host(sent: torch.Tensor) -> torch.Tensor:
    """Return a copy that is under way; complete at once where the host has no memory left that a GPU can write to."""
    import torch

    try:
        copy = torch.empty_like(sent, device="cpu", pin_memory=True)
    except RuntimeError:
        return sent.cpu()
    return copy.copy_(sent, non_blocking=True)


def sent_to(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a batch on a device; a GPU gets it when it is done with what it is at, and nobody waits for that."""
    if device.type == "cuda":
        try:
            batch = batch.pin_memory()
        except RuntimeError:  # no such memory left: the copy waits, that is all
            return batch.to(device)
    return batch.to(device, non_blocking=True)
