"""Choose where the network runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is the first GPU there is, else the CPU.

    Raises:
        InputError: This machine (or this build of PyTorch) has no such device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"Device {name!r} is not here: PyTorch sees {torch.cuda.device_count()} CUDA GPUs; use auto or cpu."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("Device 'mps' is not here: it needs a Mac with Apple silicon; use auto or cpu.")
    return device
