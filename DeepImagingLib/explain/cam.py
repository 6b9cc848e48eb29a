"""Class activation maps: a layer's cells, weighed by how much the logit hangs on their channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from DeepImagingLib.errors import InputError
from DeepImagingLib.explain.asking import batch_of, logits, undisturbed
from DeepImagingLib.explain.layers import OTHERS, last
from DeepImagingLib.explain.walk import Field, walk

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor


def grad_cam(
    network: torch.nn.Module, image: MetaTensor, channel: int, layer: str | None
) -> tuple[torch.Tensor, Field]:
    """Return the map (cells...) of Grad-CAM and where its cells look: ReLU(Σ_c mean(∂y/∂A_c) A_c).

    Where the layer's mean goes linearly into the logit y, a cell's value is what it adds to it. Selvaraju et al.,
    "Grad-CAM", ICCV 2017.
    """
    values, slopes, field = _cut(network, image, channel, layer)
    weights = slopes.mean(dim=tuple(range(1, slopes.ndim)), keepdim=True)
    return (weights * values).sum(0).relu(), field


def grad_cam_plus_plus(
    network: torch.nn.Module, image: MetaTensor, channel: int, layer: str | None
) -> tuple[torch.Tensor, Field]:
    """Return the map (cells...) of Grad-CAM++ and where its cells look.

    Its weights are the positive slopes, the more the fewer cells of a channel answer; the factor exp(y) that the
    paper has before each is left out, for it says nothing of places. Chattopadhay et al., "Grad-CAM++", WACV 2018.
    """
    values, slopes, field = _cut(network, image, channel, layer)
    places = tuple(range(1, slopes.ndim))
    square = slopes**2
    below = 2 * square + (values * slopes**3).sum(dim=places, keepdim=True)
    shares = square / below.where(below != 0, below.new_ones(()))
    weights = (shares * slopes.relu()).sum(dim=places, keepdim=True)
    return (weights * values).sum(0).relu(), field


def _cut(
    network: torch.nn.Module, image: MetaTensor, channel: int, layer: str | None
) -> tuple[torch.Tensor, torch.Tensor, Field]:
    """Return a layer's output and the logit's slopes by it, both (C, cells...), and where the cells look.

    The network is cut behind the layer, whose output goes on as a copy: no weight needs a gradient, and what changes
    its input in place harms neither.
    """
    import torch

    walked = walk(network, image)
    layer = layer if layer is not None else last(network, walked)
    if layer not in {name for _, name, _ in walked.spatial()}:
        raise InputError(f"The network has no layer {layer!r} with more than one place; choose another, or {OTHERS}.")
    kept: list[torch.Tensor] = []

    def cut(_layer: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        kept[:] = [output.detach().clone().requires_grad_()]
        torch.set_grad_enabled(True)  # until `undisturbed` ends: what comes before needs no memory
        return kept[0].clone()

    with undisturbed(network):
        hook = network.get_submodule(layer).register_forward_hook(cut)
        try:
            answer = logits(network, batch_of(network, image), channel)
        finally:
            hook.remove()
        (slopes,) = torch.autograd.grad(answer.sum(), kept, allow_unused=True)
    if slopes is None:
        raise InputError(f"The answer doesn't hang on layer {layer!r}; choose another.")
    values = kept[0].detach()[0]
    return values, slopes[0], walked.field_of(tuple(values.shape[1:]))
