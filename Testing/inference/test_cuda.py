"""On a GPU: the CPU's answer, wherever windows are added up."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from monai.inferers import SlidingWindowInferer

from DeepImagingLib.inference import predict
from DeepImagingLib.inference.arrival import Arrival
from DeepImagingLib.inference.plan import starting_way
from Testing.inference import by_hand

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
GPU = torch.device("cuda")


@needs_cuda
@pytest.mark.parametrize("store", [GPU, by_hand.CPU], ids=["added up on the GPU", "added up on the host"])
def test_a_gpu_gives_the_cpus_labels(store: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    pipeline = by_hand.pipeline_of(by_hand.context_network(4), SlidingWindowInferer((12, 12, 8), 2, 0.5))
    image = by_hand.picture((20, 18, 30))
    expected = by_hand.labels_of(by_hand.predicted(pipeline, image, 4))
    monkeypatch.setattr(predict, "starting_way", lambda *of: replace(starting_way(*of), store=store))
    found = by_hand.predicted(pipeline, image, 4, device=GPU)
    assert torch.equal(by_hand.labels_of(found), expected)


@needs_cuda
def test_an_arrival_is_complete_although_the_gpu_goes_on() -> None:
    arrivals = []
    for number in range(20):
        arrivals.append(Arrival(torch.full((64, 64, 64), float(number), device=GPU), by_hand.CPU))
        torch.zeros(64, 64, 64, device=GPU)  # would take its memory, were that free already
    assert [float(arrival.wait().unique()) for arrival in arrivals] == list(range(20))


def test_what_is_where_it_should_be_is_not_copied() -> None:
    values = torch.ones(3)
    assert Arrival(values, by_hand.CPU).wait() is values
