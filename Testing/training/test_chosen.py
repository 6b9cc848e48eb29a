"""Training few of a network's weights: those are given to the optimizer, the others stay as they are."""

from __future__ import annotations

import pytest
import torch

from DeepImagingLib.errors import InputError
from DeepImagingLib.training import chosen_weights


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.GroupNorm(2, 4), torch.nn.Conv2d(4, 1, 1))


def test_only_chosen_weights_move() -> None:
    parts = network()
    before = {name: weight.clone() for name, weight in parts.state_dict().items()}
    optimizer = torch.optim.AdamW(chosen_weights(parts, r"^1\.|2\.bias"), lr=0.1)
    parts(torch.rand(1, 1, 8, 8)).sum().backward()
    optimizer.step()
    moved = {name for name, weight in parts.state_dict().items() if not torch.equal(weight, before[name])}
    assert moved == {"1.weight", "1.bias", "2.bias"}


def test_without_a_choice_all_are_trained() -> None:
    assert len(chosen_weights(network())) == 6


@pytest.mark.parametrize(("only", "told"), [("decoder", "No weight"), ("(", "no regular expression")])
def test_a_choice_that_chooses_nothing_is_refused(only: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        chosen_weights(network(), only)
