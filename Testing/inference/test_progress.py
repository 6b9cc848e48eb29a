"""Progress goes up window by window and ends at 1; a cancel is answered at each of them, and leaves nothing behind."""

from __future__ import annotations

import time
from itertools import groupby
from typing import Any

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import KeepLargestConnectedComponentd, Orientationd, ScaleIntensityd, Spacingd

from DeepImagingLib import run
from DeepImagingLib.bundles import Pipeline
from DeepImagingLib.errors import CancelledError
from DeepImagingLib.inference.progress import Monitor, Progress
from Testing.inference import by_hand

LABELS = 4
IMAGE = by_hand.picture((40, 36, 44))
WINDOWS = 15
STAGES = ["Checking the input", "Loading the model", "Preprocessing", "Network", "Post-processing", "Collecting"]
SMALLEST = 16  # numbers in a tensor that counts: a window holds far more


def made(network: torch.nn.Module | None = None) -> Pipeline:
    """Return a pipeline of 15 windows, one at a time, whose labels are looked at once more in the end."""
    before = [Orientationd("image", axcodes="RAS", labels=None), Spacingd("image", (2, 2, 2)), ScaleIntensityd("image")]
    inferer = SlidingWindowInferer((20, 18, 8), 1, 0.875)
    pipeline = by_hand.pipeline_of(network or by_hand.context_network(LABELS), inferer, before)
    steps = (*pipeline.postprocessing.transforms, KeepLargestConnectedComponentd("pred"))
    return by_hand.Pipeline(
        pipeline.preprocessing, pipeline.network, inferer, type(pipeline.postprocessing)(list(steps))
    )


def told(pipeline: Pipeline | None = None, cancel: Any = None) -> list[Progress]:
    """Run the whole road and return what was told."""
    seen: list[Progress] = []
    built = pipeline or made()
    run(by_hand.bundle_of(LABELS), IMAGE, by_hand.FULL, seen.append, cancel, build=lambda *_: built)
    return seen


@pytest.fixture(scope="module")
def seen() -> list[Progress]:
    return told()


def test_stages_come_in_order_each_from_0_to_1_and_never_back(seen: list[Progress]) -> None:
    parts = [(stage, [p.fraction for p in part]) for stage, part in groupby(seen, key=lambda p: p.stage)]
    assert [stage for stage, _ in parts] == STAGES
    for stage, fractions in parts:
        assert fractions[0] == 0 and fractions[-1] == 1, stage
        assert fractions == sorted(fractions), stage


def test_every_window_is_told(seen: list[Progress]) -> None:
    network = {p.fraction for p in seen if p.stage == "Network"}
    assert network >= {done / WINDOWS for done in range(WINDOWS + 1)}


@pytest.mark.parametrize("first_call", [0.03, 1.5])
def test_the_seconds_left_are_those_of_the_windows_to_come(first_call: float) -> None:
    class Slow(torch.nn.Module):
        seconds = first_call

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            time.sleep(self.seconds)
            self.seconds = 0.03
            return image.repeat(1, LABELS, 1, 1, 1)

    network = [p for p in told(made(Slow())) if p.stage == "Network" and 0.1 <= p.fraction < 1]
    assert network
    for p in network:
        expected = 0.03 * WINDOWS * (1 - p.fraction)
        assert 0.8 * expected <= p.seconds_left <= 2 * expected + 0.2


class TestCancel:
    def test_it_is_answered_wherever_it_comes_and_leaves_no_tensor_alive(self) -> None:
        pipeline, asked = made(), []
        told(pipeline, lambda: bool(asked.append(True)))
        times = len(asked)
        assert times >= 2 * len(STAGES) + WINDOWS
        with by_hand.only_new():
            for at in range(times):
                stages: list[str] = []
                seen: list[int] = []  # reports there were when the run asked

                def cancel(at: int = at, seen: list[int] = seen, stages: list[str] = stages) -> bool:
                    seen.append(len(stages))
                    return len(seen) > at

                with pytest.raises(CancelledError, match="cancelled"):
                    run(
                        by_hand.bundle_of(LABELS),
                        IMAGE,
                        by_hand.FULL,
                        lambda p, stages=stages: stages.append(p.stage),
                        cancel,
                        build=lambda *_: pipeline,
                    )
                assert len(stages) == seen[at] and len(seen) == at + 1, "nothing goes on after a cancel"
                left = [tensor.shape for tensor in by_hand.new_tensors() if tensor.numel() >= SMALLEST]
                assert left == [], f"after a cancel during {stages[-1:]}"

    def test_a_cancel_is_answered_within_one_window(self) -> None:
        class Counting(torch.nn.Module):
            calls = 0

            def forward(self, image: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                return image.repeat(1, LABELS, 1, 1, 1)

        network = Counting()
        with pytest.raises(CancelledError):
            told(made(network), lambda: network.calls >= 5)
        assert network.calls == 5

    def test_a_run_after_a_cancel_is_like_any_other(self) -> None:
        pipeline, asked = made(), []
        with pytest.raises(CancelledError):
            told(pipeline, lambda: bool(asked.append(True)) or len(asked) > 12)
        again = by_hand.predicted(pipeline, IMAGE, LABELS, monitor=Monitor())
        assert torch.equal(by_hand.labels_of(again), by_hand.stock(made(), IMAGE)[0].long())
