"""Several sets of weights for one network, as cross-validation leaves them: their outputs are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Folds(torch.nn.Module):
    """Answers with the mean of its networks' outputs (B, K, ...), one after the other, so that one output is held.

    Args:
        networks: Of one architecture, in evaluation mode.
    """

    def __init__(self, networks: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)

    def forward(self, *inputs: Any) -> torch.Tensor:
        """Return the mean of all outputs."""
        first, *others = self.networks
        total: torch.Tensor = first(*inputs)
        for network in others:
            total = total + network(*inputs)
        return total / len(self.networks)
