"""Which weights a training changes: few, where all of a network would be too much to store or to learn again."""

from __future__ import annotations

import re

import torch

from DeepImagingLib.errors import InputError


def chosen_weights(network: torch.nn.Module, only: str | None = None) -> list[torch.nn.Parameter]:
    """Return the weights to train, for an optimizer; the others are held still from now on.

    Args:
        network: To train.
        only: Regular expression found in the names of those to train; None trains all.

    Raises:
        InputError: No weight has such a name, or the expression can't be read.
    """
    try:
        names = [name for name, _ in network.named_parameters() if only is None or re.search(only, name)]
    except re.error as error:
        raise InputError(f"`only` is no regular expression ({error}): {only!r}.") from error
    if not names:
        raise InputError(f"No weight of the network has a name with {only!r} in it; mend the recipe's `only`.")
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in names)
    return [weight for weight in network.parameters() if weight.requires_grad]
