"""Half precision is taken where one window says that it pays and changes nothing, and nowhere else."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from DeepImagingLib.bundles import Pipeline
from DeepImagingLib.inference.predict import Prediction
from Testing.inference import by_hand
from Testing.inference.by_hand import FULL

LABELS, WINDOWS = 4, 9
IMAGE = by_hand.picture((9, 8, 24))
AUTO = replace(FULL, precision="auto")
SLOW, QUICK = 0.03, 0.002


class Paced(torch.nn.Module):
    """Takes its time by precision, whatever it computes, and counts how often it saw each window in which.

    Args:
        full: Seconds a call.
        half: Seconds a call in half precision.
        changed: Whether the answer is another one in half precision.
    """

    def __init__(self, full: float, half: float, *, changed: bool = False) -> None:
        super().__init__()
        self.inner = by_hand.context_network(LABELS)
        self.seconds = {False: full, True: half}
        self.changed = changed
        self.seen: Counter[tuple[bool, bytes]] = Counter()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        halved = torch.is_autocast_enabled("cpu")
        self.seen.update((halved, window.numpy().tobytes()) for window in batch)
        time.sleep(self.seconds[halved])
        with torch.autocast("cpu", enabled=False):
            output = self.inner(batch)
        return output.roll(1, 1) if halved and self.changed else output

    def windows(self, *, halved: bool) -> int:
        """Return how many windows it saw, each time counted."""
        return sum(count for (half, _), count in self.seen.items() if half == halved)


def ran(network: torch.nn.Module, options: object = AUTO, *, overlap: float = 0.75) -> Prediction:
    return by_hand.predicted(made(network, overlap), IMAGE, LABELS, options)


def made(network: torch.nn.Module, overlap: float = 0.75) -> Pipeline:
    return by_hand.pipeline_of(network, SlidingWindowInferer((12, 12, 8), 1, overlap))


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with units for half precision, whether this one has them or not."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)


def test_it_is_taken_where_it_is_quicker_and_agrees() -> None:
    found = ran(Paced(SLOW, QUICK))
    assert found.precision == "bfloat16" and "bfloat16" in found.plan
    assert np.array_equal(found.answer, ran(Paced(0, 0), FULL).answer)


def test_it_is_not_taken_where_it_is_no_quicker() -> None:
    network = Paced(QUICK, SLOW)
    assert ran(network).precision == "full"
    assert network.windows(halved=False) == WINDOWS, "the window that was tried isn't computed again"


def test_it_is_not_taken_where_it_changes_the_mask() -> None:
    network = Paced(SLOW, QUICK, changed=True)
    found = ran(network)
    assert found.precision == "full"
    assert network.windows(halved=True) > 0, "it was tried"
    assert np.array_equal(found.answer, ran(Paced(0, 0), FULL).answer)


def test_full_precision_never_tries_another() -> None:
    network = Paced(SLOW, QUICK)
    assert ran(network, FULL).precision == "full"
    assert network.windows(halved=True) == 0
    assert set(network.seen.values()) == {1}


def test_half_precision_that_is_asked_for_is_taken_untried() -> None:
    network = Paced(QUICK, SLOW, changed=True)
    assert ran(network, replace(FULL, precision="half")).precision == "bfloat16"
    assert network.windows(halved=False) == 0
    assert set(network.seen.values()) == {1}


def test_only_the_window_that_is_tried_is_seen_more_than_once() -> None:
    network = Paced(SLOW, QUICK)
    ran(network)
    halved = Counter({window: count for (half, window), count in network.seen.items() if half})
    (tried,) = [window for (half, window) in network.seen if not half]
    assert len(halved) == WINDOWS
    assert set(halved) - {window for window, count in halved.items() if count == 1} == {tried}
    assert halved[tried] <= 2 and network.windows(halved=False) <= 2


@pytest.mark.parametrize(("network", "precision"), [((SLOW, QUICK), "bfloat16"), ((QUICK, SLOW), "full")])
def test_a_model_that_stays_is_tried_once(network: tuple[float, float], precision: str) -> None:
    warm = Paced(*network)
    ran(warm)
    warm.seen.clear()
    assert ran(warm).precision == precision
    assert set(warm.seen.values()) == {1} and len(warm.seen) == WINDOWS


def test_a_run_at_full_precision_after_one_in_half_is_in_full() -> None:
    network = Paced(SLOW, QUICK)
    ran(network)
    network.seen.clear()
    assert ran(network, FULL).precision == "full"
    assert network.windows(halved=True) == 0


def test_few_windows_are_not_worth_a_try() -> None:
    network = Paced(SLOW, QUICK)
    assert ran(network, overlap=0).precision == "full"
    assert network.windows(halved=True) == 0 and network.windows(halved=False) == 3


def test_a_cpu_without_units_for_it_does_not_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    network = Paced(SLOW, QUICK)
    assert ran(network).precision == "full"
    assert network.windows(halved=True) == 0


def test_a_mask_of_background_alone_proves_nothing() -> None:
    class Empty(Paced):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return super().forward(batch) * 0 + torch.arange(LABELS, 0, -1).reshape(1, -1, 1, 1, 1)

    assert ran(Empty(SLOW, QUICK)).precision == "full"


def test_a_network_with_parameters_of_any_rank_may_be_halved() -> None:
    class Positioned(Paced):
        def __init__(self) -> None:
            super().__init__(SLOW, QUICK)
            self.positions = torch.nn.Parameter(torch.zeros(12, 12, 8, 1))

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return super().forward(batch) + self.positions.movedim(-1, 0)

    assert ran(Positioned()).precision == "bfloat16"
