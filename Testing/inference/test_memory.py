"""A run takes what its plan says, keeps to its limit, and ends well where MONAI's own way has no memory left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer
from scipy import ndimage

from DeepImagingLib.errors import MemoryLimitError
from DeepImagingLib.inference.plan import Plan
from DeepImagingLib.inference.predict import foresee
from DeepImagingLib.inference.progress import Monitor
from DeepImagingLib.options import LEAST_MEMORY
from Testing.inference import by_hand
from Testing.inference.by_hand import FULL

ROOT = Path(__file__).parents[2]
CLASSES = 105
LARGE = (130, 130, 120)
ENOUGH, SCARCE = 600_000_000, 150_000_000  # of 105 channels on the grid of the scan, one copy takes 850 MB
MB, GB = 10**6, 10**9
UNITS = {"MB": MB, "GB": GB}


@dataclass(frozen=True)
class Ended:
    """How a run in a process of its own ended."""

    peak: int
    planned: str
    error: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of many classes, a small scan and a large one, with labels as contiguous as in life."""
    from Testing.inference.limited import write_stub

    folder = tmp_path_factory.mktemp("limited")
    write_stub(folder / "bundle", CLASSES)
    for name, shape in (("small", (40, 40, 40)), ("large", LARGE)):
        coarse = np.random.default_rng(0).normal(size=[n // 20 + 1 for n in shape]) * 400
        voxels = ndimage.zoom(coarse, np.divide(shape, coarse.shape), order=1).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def ended(folder: Path) -> dict[str, list[Ended]]:
    """Ours with less memory than it needs, then with enough for it; stock with as much."""
    if not sys.platform.startswith("linux"):
        pytest.skip("memory can be limited on Linux alone")
    rooms = {"ours": [SCARCE, ENOUGH], "stock": [ENOUGH]}
    command = [sys.executable, "-W", "ignore", "-m", "Testing.inference.limited"]
    running = {
        who: subprocess.Popen([*command, who, folder, *map(str, given)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for who, given in rooms.items()
    }
    told = {who: process.communicate(timeout=300)[0].splitlines() for who, process in running.items()}
    return {who: [Ended(**json.loads(line)) for line in lines if line[:1] == "{"] for who, lines in told.items()}


class TestUnderALimitOfTheSystem:
    def test_ours_ends_well_where_stock_has_no_memory_left(self, ended: dict[str, list[Ended]], folder: Path) -> None:
        (stock,), (_, ours) = ended["stock"], ended["ours"]
        assert "memory" in stock.error
        assert ours.error == ""
        labels = np.load(folder / "ours" / str(ENOUGH) / "labels.npy")
        assert labels.shape == LARGE and len(np.unique(labels)) > 3

    def test_what_cannot_fit_is_refused_with_the_numbers(self, ended: dict[str, list[Ended]]) -> None:
        refused, _ = ended["ours"]
        assert refused.error.startswith("MemoryLimitError: The run needs ")
        needed, allowed = (float(number) * UNITS[unit] for number, unit in numbers(refused.error))
        assert allowed <= 0.65 * SCARCE < needed  # 0.6 of what is free, which may be a little more than was given
        assert refused.peak < SCARCE

    def test_it_takes_what_was_planned(self, ended: dict[str, list[Ended]]) -> None:
        _, ours = ended["ours"]
        planned, *_ = (float(number) * UNITS[unit] for number, unit in numbers(ours.planned))
        scan = 4 * np.prod(LARGE)
        assert ours.peak <= 1.3 * planned + 2 * scan  # the scan as read and as prepared isn't part of the plan


def numbers(text: str) -> list[tuple[str, str]]:
    """Return the amounts of memory that a sentence names."""
    return re.findall(r"([\d.]+) (MB|GB)", text)


class Hungry(torch.nn.Module):
    """Takes so many bytes for each window of a batch, and remembers the batches."""

    def __init__(self, bytes_: int = 120 * MB) -> None:
        super().__init__()
        self.inner = by_hand.context_network(2)
        self.numbers = bytes_ // 4
        self.batches: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(batch))
        held = torch.ones(self.numbers * len(batch))
        return self.inner(batch) * held[0]


def planned(
    labels: int = 2,
    shape: tuple[int, int, int] = (24, 24, 24),
    options: Any = FULL,
    *,
    channels: tuple[int, ...] = (),
    network: torch.nn.Module | None = None,
    batch: int = 1,
) -> Plan:
    inferer = SlidingWindowInferer((12, 12, 12), batch, 0.5)
    pipeline = by_hand.pipeline_of(network or by_hand.context_network(labels), inferer)
    images = {"image": by_hand.picture(shape)}
    found = foresee(by_hand.bundle_of(labels), pipeline, images, by_hand.CPU, Monitor(), options, channels)
    assert isinstance(found, Plan)
    return found


class TestThePlan:
    def test_what_is_added_up_grows_with_the_classes(self) -> None:
        few, many = planned(10).need.sums, planned(100).need.sums
        plane, output = 24 * 24 * 13 * 4, 12**3 * 4  # the tried window's output is kept
        assert many - few == 90 * (plane + output)

    def test_what_is_added_up_grows_with_the_cross_section_and_not_with_the_length(self) -> None:
        short, long, wide = (planned(40, shape).need.sums for shape in ((24, 24, 30), (24, 24, 60), (24, 48, 60)))
        assert short == long
        assert wide - long == 24 * 24 * 13 * 4 * 41

    def test_the_result_grows_with_the_voxels_and_the_volumes_asked_for(self) -> None:
        voxels = 24**3
        assert planned().need.result == voxels
        assert planned(channels=(0, 1)).need.result == voxels * (1 + 2 * 4)
        assert planned(shape=(24, 24, 48)).need.result == 2 * voxels

    def test_a_window_is_what_the_network_takes_for_it(self) -> None:
        assert 110 * MB < planned(network=Hungry()).need.window < 200 * MB

    def test_it_names_what_it_needs_and_what_it_may_take(self) -> None:
        plan = planned(network=Hungry(), options=replace(FULL, memory_limit=GB))
        (needed, unit), limit = numbers(plan.sentence)
        assert float(needed) * UNITS[unit] == pytest.approx(plan.need.on_host(plan.way), rel=0.05)
        assert limit == ("1.0", "GB")
        assert "27 windows on cpu" in plan.sentence

    def test_asking_for_it_runs_one_window(self) -> None:
        network = Hungry()
        planned(network=network)
        assert network.batches == [1]


def held(shape: tuple[int, int, int], labels: int) -> int:
    """Return how many bytes of tensors there are at most while the network is called, those of the scan left out."""
    with by_hand.watched(by_hand.context_network(labels)) as network:
        pipeline = by_hand.pipeline_of(network, SlidingWindowInferer((12, 12, 12), 1, 0.5))
        by_hand.predicted(pipeline, by_hand.picture(shape), labels)
    return network.peak - 4 * int(np.prod(shape))


def test_what_is_held_does_not_grow_with_the_length_of_the_scan() -> None:
    short, long, wide = (held(shape, 20) for shape in ((24, 24, 30), (24, 24, 90), (24, 48, 90)))
    channels = 20 * 24 * 24 * 4  # of one plane
    assert long - short < 5 * channels
    assert wide - short > 10 * channels, "what is held is seen"


class TestTheMemoryLimit:
    def test_it_makes_batches_as_small_as_they_must_be(self) -> None:
        base = planned().need.sums + planned().need.cells
        limit = base + 2 * 160 * MB
        plan = planned(network=Hungry(), batch=4, options=replace(FULL, memory_limit=limit))
        assert plan.way.batch == 2
        assert plan.need.on_host(plan.way) <= limit

    def test_a_run_keeps_to_it(self) -> None:
        network, labels = Hungry(), 2
        limit = planned().need.sums + planned().need.cells + 2 * 160 * MB
        pipeline = by_hand.pipeline_of(network, SlidingWindowInferer((12, 12, 12), 4, 0.5))
        found = by_hand.predicted(pipeline, by_hand.picture((24, 24, 12)), labels, replace(FULL, memory_limit=limit))
        assert max(network.batches) == 2 and sum(network.batches) == 9
        assert found.memory_step == "as planned", "it was planned so, and memory didn't run out"

    def test_what_cannot_fit_is_refused_before_it_starts(self) -> None:
        network = Hungry()
        with pytest.raises(MemoryLimitError) as raised:
            planned(network=network, options=replace(FULL, memory_limit=100 * MB))
        assert network.batches == [1]
        text = str(raised.value)
        (needed, unit), limit = numbers(text)
        assert float(needed) * UNITS[unit] > 100 * MB and limit == ("100", "MB")
        assert re.fullmatch(r"[^\n]*; [^\n]*\.", text)

    def test_a_region_as_large_as_it_is_named_does_fit(self) -> None:
        labels, shape = 250, (24, 240, 240)
        need = planned(labels, shape).need
        options = replace(FULL, memory_limit=need.window + need.sums + need.cells - 30 * MB)
        with pytest.raises(MemoryLimitError) as raised:
            planned(labels, shape, options)
        (percent,) = re.findall(r"region of about (\d+) % of the scan's extent along each axis", str(raised.value))
        region = [n * int(percent) // 100 for n in shape]
        assert planned(labels, (region[0], region[1], region[2]), options).windows > 1

    def test_no_region_is_named_where_none_would_fit(self) -> None:
        with pytest.raises(MemoryLimitError) as raised:
            planned(network=Hungry(40 * MB), options=replace(FULL, memory_limit=LEAST_MEMORY))
        assert "region" not in str(raised.value)
