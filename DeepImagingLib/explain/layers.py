"""Which layers of a network still know where something is, and which of them comes last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepImagingLib.errors import InputError
from DeepImagingLib.explain.walk import Cells, Walk, walk

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

OTHERS = "choose integrated gradients or occlusion"


def layers(network: torch.nn.Module, image: MetaTensor) -> dict[str, Cells]:
    """Return the layers for a class activation map to choose among: the last of each size, the default at the end.

    Args:
        network: Run once, and left as it was.
        image: (C, I, J[, K]), as the network gets it.

    Returns:
        Name to number of cells along each axis, in order of the run. Empty for TorchScript, which doesn't show its
        layers, and where the network loses the image's layout and goes on with tokens, as transformers do.
    """
    return candidates(walk(network, image))


def target_layer(network: torch.nn.Module, image: MetaTensor) -> str:
    """Return the last layer before places are pooled or flattened; arguments as of `layers`.

    Raises:
        InputError: There is none; names the methods that need none.
    """
    return last(network, walk(network, image))


def candidates(walked: Walk) -> dict[str, Cells]:
    """Return what `layers` does for a walk."""
    latest: dict[Cells, tuple[int, str]] = {}
    for number, name, cells in walked.spatial():
        latest.pop(cells, None)
        latest[cells] = number, name
    end = max((number for number, _ in latest.values()), default=0)
    if any(weighs and _places(shape) > 1 for _, shape, weighs in walked.calls[end + 1 :]):
        return {}
    chosen: dict[str, Cells] = {}
    for cells, (_, name) in reversed(latest.items()):
        chosen.setdefault(name, cells)  # a layer that is called at several sizes counts at its last
    return dict(reversed(chosen.items()))


def last(network: torch.nn.Module, walked: Walk) -> str:
    """Return what `target_layer` does for a walk."""
    import torch

    found = list(candidates(walked))
    if found:
        return found[-1]
    if isinstance(network, torch.jit.ScriptModule):
        raise InputError(f"A TorchScript network doesn't show its layers to a class activation map; {OTHERS}.")
    raise InputError(f"The network has no layer that keeps the image's layout up to its answer; {OTHERS}.")


def _places(shape: Cells) -> int:
    """Return how many axes a shape (B, ...) has along which there is more than one."""
    return sum(n > 1 for n in shape[1:])
