"""Faults that the engine had once, each held by an example."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose, Flipd, Invertd, Spacingd, ToTensord

from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.inference.sweep import Sweep
from DeepImagingLib.inference.windows import windows_of
from Testing.inference import by_hand

INFERER = SlidingWindowInferer((12, 12, 12), 1, 0.5)
IMAGE = by_hand.picture((20, 18, 16))
COARSER = Spacingd("image", (1.6, 1.6, 1.6))


def swept(fail_at: int | None, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Add up windows, one addition of which fails at first; returns the finished values."""
    windows, found, calls = windows_of(INFERER, (20, 18, 16)), [], []
    add = torch.Tensor.addcmul_

    def failing(values: torch.Tensor, *terms: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == fail_at:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return add(values, *terms)

    monkeypatch.setattr(torch.Tensor, "addcmul_", failing)
    sweep = Sweep(windows, 2, lambda values: values, lambda values, *_: found.append(values[:, -1].clone()))
    for number, start in enumerate(windows.starts):
        output = torch.full((2, 12, 12, 12), float(number + 1))
        try:
            sweep.add(start, output)
        except torch.OutOfMemoryError:
            sweep.add(start, output)
    sweep.end()
    return torch.stack(found)


@pytest.mark.parametrize("fail_at", [1, 7, 12, 13, 30])
def test_a_window_that_is_added_again_after_a_failure_counts_once(
    fail_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = swept(None, monkeypatch)
    assert torch.equal(swept(fail_at, monkeypatch), undisturbed)


def test_a_step_that_rounds_before_the_argmax_is_not_passed_over() -> None:
    after = [ToTensord("pred", dtype=torch.int32), by_hand.ARGMAX]
    pipeline = by_hand.pipeline_of(by_hand.context_network(4), INFERER, after=after)
    found = by_hand.predicted(pipeline, IMAGE, 4)
    assert torch.equal(by_hand.labels_of(found), by_hand.stock(pipeline, IMAGE)[0].long())


def test_an_inverse_of_something_else_is_run_as_it_is() -> None:
    flip = Flipd("image", 0)
    preprocessing = Compose([COARSER, flip])
    after = [by_hand.SOFTMAX, by_hand.ARGMAX, Invertd("pred", transform=Compose([flip]), orig_keys="image")]
    pipeline = by_hand.pipeline_of(by_hand.context_network(4), INFERER, after=after)
    pipeline = type(pipeline)(preprocessing, pipeline.network, INFERER, pipeline.postprocessing)
    found = by_hand.predicted(pipeline, IMAGE, 4)
    assert torch.equal(by_hand.labels_of(found), by_hand.stock(pipeline, IMAGE)[0].long())


@pytest.mark.parametrize("chain", [by_hand.SOFTMAX, by_hand.SIGMOID], ids=["softmax", "sigmoid"])
def test_an_infinite_answer_is_refused_whatever_the_activation_makes_of_it(chain: object) -> None:
    class Infinite(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.full((len(batch), 2, *batch.shape[2:]), torch.inf)

    decision = by_hand.ARGMAX if chain is by_hand.SOFTMAX else by_hand.THRESHOLD
    with pytest.raises(BundleError, match="not numbers"):
        by_hand.predicted(by_hand.pipeline_of(Infinite(), INFERER, after=[chain, decision]), IMAGE, 2)


class TestVolumes:
    def test_the_only_channel_is_that_of_the_only_label(self) -> None:
        network = by_hand.context_network(1)
        pipeline = by_hand.pipeline_of(network, INFERER, after=[by_hand.SIGMOID, by_hand.THRESHOLD])
        found = by_hand.predicted(pipeline, IMAGE, 2, channels=[1])
        expected = by_hand.network_output(pipeline, IMAGE)["pred"].sigmoid()[0]
        np.testing.assert_allclose(found.volumes[1], expected, atol=1e-6)

    def test_a_label_without_a_channel_is_told(self) -> None:
        pipeline = by_hand.pipeline_of(by_hand.context_network(3), INFERER)
        with pytest.raises(InputError, match="3 channels and none for label 7"):
            by_hand.predicted(pipeline, IMAGE, 9, channels=[7])


def test_a_warm_network_can_be_differentiated_after_a_run_in_half_precision() -> None:
    network = by_hand.context_network(3)
    by_hand.predicted(by_hand.pipeline_of(network, INFERER), IMAGE, 3, by_hand.HALF)
    network(torch.rand(1, 1, 12, 12, 12, requires_grad=True)).sum().backward()
    assert all(weights.grad is not None for weights in network.parameters())
