"""When memory runs out on the way a run steps down, keeps what is done, and says where it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from DeepImagingLib import run
from DeepImagingLib.bundles import Pipeline
from DeepImagingLib.errors import BundleError, MemoryLimitError
from DeepImagingLib.inference import loop
from DeepImagingLib.inference.ladder import AS_PLANNED, Way, step_down
from DeepImagingLib.inference.memory import is_out_of_memory
from DeepImagingLib.inference.reduce import Mapped
from Testing.inference import by_hand
from Testing.inference.by_hand import FULL

LABELS, BATCH = 4, 2
IMAGE = by_hand.picture((9, 8, 24))
GPU = torch.device("cpu:0")
"""What isn't `torch.device("cpu")` stands for a GPU here, from which a run can step down to the CPU."""
AUTO = replace(FULL, precision="auto")


@dataclass(frozen=True)
class Call:
    """One call of the network: how many came before, and what counts for its memory."""

    before: int
    batch: int
    halved: bool
    device: torch.device


class Scarce(torch.nn.Module):
    """Runs out of memory where a call doesn't fit; remembers each window that it answered."""

    def __init__(self, fits: Callable[[Call], bool]) -> None:
        super().__init__()
        self.inner = by_hand.context_network(LABELS)
        self.fits = fits
        self.place = GPU
        self.answered: list[bytes] = []
        self.calls = 0

    def to(self, device: torch.device) -> Scarce:
        self.place = device
        return super().to(device)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        call = Call(len(self.answered), len(batch), torch.is_autocast_enabled("cpu"), self.place)
        if not self.fits(call):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.answered += [window.numpy().tobytes() for window in batch]
        with torch.autocast("cpu", enabled=False):
            return self.inner(batch)


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """Each step down collects garbage: let that look at what is new only."""
    with by_hand.only_new():
        yield


def made(network: torch.nn.Module) -> Pipeline:
    """Return a pipeline of 15 windows in a row; with any overlap, no part of them is alike."""
    return by_hand.pipeline_of(network, SlidingWindowInferer((12, 12, 8), BATCH, 0.875))


def windows_of(pipeline: Pipeline) -> int:
    counted = []
    pipeline.inferer(IMAGE[None], lambda batch: counted.append(len(batch)) or batch)
    return sum(counted)


def afterwards(network: torch.nn.Module, options: Any = FULL) -> Any:
    return by_hand.predicted(made(network), IMAGE, LABELS, options, device=GPU)


LADDER = {
    "smaller batch": (lambda call: call.batch <= 1 or call.before < 6, FULL),
    "half precision": (lambda call: call.halved or call.before < 6, AUTO),
    "on the CPU": (lambda call: call.device == by_hand.CPU or call.before < 6, FULL),
}


@pytest.fixture
def without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which half precision isn't worth a try, so that it is taken for want of memory alone."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)


@pytest.fixture(params=[0, 1], ids=["one by one", "one ahead"])
def ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin the next batch before the last is added up, as GPUs do, or after it."""
    monkeypatch.setattr(loop, "ahead_on", lambda device: request.param)


@pytest.mark.usefixtures("without_units", "ahead")
@pytest.mark.parametrize("step", LADDER)
def test_it_steps_down_as_far_as_it_must_and_gives_the_same_answer(step: str) -> None:
    fits, options = LADDER[step]
    network = Scarce(fits)
    found = afterwards(network, options)
    assert found.memory_step == step
    assert np.array_equal(found.answer, afterwards(Scarce(lambda call: True)).answer)
    assert len(np.unique(found.answer)) > 1
    assert found.device == ("cpu" if step == "on the CPU" else str(GPU))
    assert found.precision == ("bfloat16" if step == "half precision" else "full")


@pytest.mark.usefixtures("without_units", "ahead")
@pytest.mark.parametrize("step", LADDER)
def test_windows_that_are_done_are_not_computed_again(step: str) -> None:
    fits, options = LADDER[step]
    network = Scarce(fits)
    afterwards(network, options)
    assert len(network.answered) == len(set(network.answered)) == windows_of(made(network))


def test_nothing_gives_where_nothing_has_to() -> None:
    network = Scarce(lambda call: True)
    assert afterwards(network).memory_step == AS_PLANNED
    assert len(network.answered) == windows_of(made(network))


@pytest.mark.usefixtures("without_units")
@pytest.mark.parametrize("options", [AUTO, FULL], ids=["auto", "full"])
def test_a_first_window_that_does_not_fit_steps_down_too(options: Any) -> None:
    found = afterwards(Scarce(lambda call: call.halved or call.device == by_hand.CPU), options)
    assert found.memory_step == ("half precision" if options is AUTO else "on the CPU")
    assert np.array_equal(found.answer, afterwards(Scarce(lambda call: True)).answer)


@pytest.mark.parametrize("slabs", [0, 1, 7, 13])
def test_windows_go_on_adding_up_on_the_host_where_the_device_is_full(
    slabs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = afterwards(Scarce(lambda call: True))
    take, taken = Mapped.take, []

    def full(mapped: Mapped, values: torch.Tensor, *planes: int) -> None:
        taken.append(planes)
        if len(taken) <= slabs or len(taken) > slabs + 2:  # twice: with a batch of 2, and of 1
            return take(mapped, values, *planes)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Mapped, "take", full)
    network = Scarce(lambda call: True)
    found = afterwards(network)
    assert found.memory_step == "added up on the host"
    assert np.array_equal(found.answer, undisturbed.answer)
    assert len(network.answered) == len(set(network.answered)) == windows_of(made(network))


def test_where_nothing_is_left_to_give_it_ends_in_one_sentence_and_the_model_goes_on_working() -> None:
    network = Scarce(lambda call: call.before < 6)
    with pytest.raises(MemoryLimitError, match=r"^The run needs more memory than [^\n]*; [^\n]*\.$"):
        afterwards(network)
    network.fits = lambda call: True
    found = afterwards(network)
    assert found.device == str(GPU) and network.place == GPU, "the next run begins on its device again"
    assert np.array_equal(found.answer, afterwards(Scarce(lambda call: True)).answer)


@pytest.mark.usefixtures("without_units")
def test_the_model_computes_as_before_after_a_run_that_stepped_down() -> None:
    network = Scarce(lambda call: call.device == by_hand.CPU or call.before < 6)
    afterwards(network, AUTO)
    network.fits, network.answered = lambda call: not call.halved and call.device == GPU, []
    found = afterwards(network)
    assert found.memory_step == AS_PLANNED and found.precision == "full"


def test_the_provenance_says_on_which_step_it_ended() -> None:
    pipeline = made(Scarce(lambda call: call.batch <= 1))
    result = run(by_hand.bundle_of(LABELS), IMAGE, FULL, build=lambda *_: pipeline)
    assert result.provenance.memory_step == "smaller batch"


def test_an_error_that_is_not_about_memory_ends_the_run_at_once() -> None:
    class Broken(Scarce):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if len(self.answered) > 3:
                self.calls += 1
                raise RuntimeError("shapes don't fit")
            return super().forward(batch)

    network = Broken(lambda call: True)
    with pytest.raises(BundleError, match="shapes don't fit"):
        afterwards(network)
    assert network.calls <= len(network.answered) + 1


def test_steps_come_in_order_and_end_on_the_host_alone() -> None:
    way: Way | None = Way(GPU, GPU, 4, torch.float32, may_halve=True)
    steps = []
    while (way := step_down(way)) is not None:
        steps.append(way)
    halved = "half precision"  # on the CPU it is full at first, and may be halved again
    assert [way.step for way in steps][1:] == ["smaller batch", halved, "added up on the host", "on the CPU", halved]
    assert steps[-1].device == steps[-1].store == by_hand.CPU


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried …"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB, other allocations: 1.00 GB)."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=str,
)
def test_what_libraries_say_when_memory_runs_out_is_understood(error: BaseException) -> None:
    assert is_out_of_memory(error)


def test_a_host_that_is_full_is_recognised() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert is_out_of_memory(raised.value)
    with pytest.raises(MemoryError) as raised:
        np.empty(2**50)
    assert is_out_of_memory(raised.value)
