"""What can't be proved equal slab by slab runs as the bundle has it, and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    KeepLargestConnectedComponentd,
    Lambdad,
    MedianSmoothd,
    Orientationd,
    Resized,
    Rotate90d,
    Spacingd,
)

from DeepImagingLib import run
from DeepImagingLib.bundles import Pipeline
from DeepImagingLib.errors import BundleError, CancelledError, MemoryLimitError
from DeepImagingLib.inference.progress import Monitor
from Testing.grids import affine
from Testing.inference import by_hand
from Testing.inference.by_hand import ARGMAX, SIGMOID, SOFTMAX, THRESHOLD

LABELS = 3
GRID = affine("LPS", (1.2, 1.0, 1.6), (12.0, -30.0, 7.0))
SHAPE = (20, 18, 15)
NOTE = "as it is"


class OwnInferer(SlidingWindowInferer):
    """An inferer of a bundle's own, which may do anything."""

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return super().__call__(inputs, network, *args, **kwargs).flip(1)


class Listed(torch.nn.Module):
    """Answers with a list of what a network says, `count` times."""

    def __init__(self, count: int = 1) -> None:
        super().__init__()
        self.inner, self.count = by_hand.context_network(LABELS), count

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [self.inner(image)] * self.count


class Placed(torch.nn.Module):
    """Is told where its windows lie."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = by_hand.context_network(LABELS)

    def forward(self, image: torch.Tensor, coordinates: Any) -> torch.Tensor:
        return self.inner(image) + coordinates[0][2].start / 10


WINDOWS = {"roi_size": (12, 12, 12), "sw_batch_size": 2, "overlap": 0.5}
USUAL = ("softmax", "invert", "argmax")
PREPROCESSING = [Orientationd("image", axcodes="RAS", labels=None), Spacingd("image", (1.5, 1.5, 1.5))]


def made(
    after: tuple[Any, ...] = USUAL,
    *,
    network: torch.nn.Module | None = None,
    inferer: Any = None,
    preprocessing: list[Any] = PREPROCESSING,
    lazy: bool = False,
) -> Pipeline:
    before = Compose(preprocessing)
    known = {"softmax": SOFTMAX, "invert": by_hand.inversion(before), "argmax": ARGMAX}
    steps = Compose([known.get(step, step) if isinstance(step, str) else step for step in after], lazy=lazy)
    inferer = inferer or SlidingWindowInferer(**WINDOWS)
    return Pipeline(before, network or by_hand.context_network(LABELS), inferer, steps)


def halving() -> torch.nn.Module:
    return torch.nn.Sequential(by_hand.context_network(LABELS), torch.nn.AvgPool3d(2))


CHANNEL_WISE = KeepLargestConnectedComponentd("pred", is_onehot=True, applied_labels=[1, 2])
UNPROVED: dict[str, Callable[[], Pipeline]] = {
    "a smoothing before the decision": lambda: made(("softmax", MedianSmoothd("pred", 1), "invert", "argmax")),
    "the largest component of activated channels": lambda: made((SIGMOID, CHANNEL_WISE, "invert", THRESHOLD)),
    "a function of the bundle's own": lambda: made(("softmax", "invert", Lambdad("pred", torch.square), "argmax")),
    "an activation of its own": lambda: made((Activationsd("pred", other=torch.tanh), "invert", "argmax")),
    "an activation along another axis": lambda: made((Activationsd("pred", softmax=True, dim=1), "invert", "argmax")),
    "two activations": lambda: made(("softmax", "softmax", "invert", "argmax")),
    "rounded values": lambda: made(("softmax", "invert", AsDiscreted("pred", rounding="torchrounding"))),
    "a lazy chain": lambda: made(lazy=True),
    "an inferer of the bundle's own": lambda: made(inferer=OwnInferer(**WINDOWS)),
    "a network that is told the place": lambda: made(
        network=Placed(), inferer=SlidingWindowInferer((12, 12, 12), 1, 0.5, with_coord=True)
    ),
    "a network that answers with a list": lambda: made(network=Listed()),
    "a network that answers in another size": lambda: made(
        ("softmax", "argmax", Resized("pred", SHAPE, mode="nearest")),
        network=halving(),
        preprocessing=PREPROCESSING[:1],
    ),
    "a preprocessing that turns": lambda: made(preprocessing=[Rotate90d("image", spatial_axes=(0, 2))]),
    "two that resample": lambda: made(preprocessing=[*PREPROCESSING, Resized("image", (13, 12, 14))]),
}


@pytest.mark.parametrize("name", UNPROVED)
def test_it_gives_the_answer_of_stock_and_a_note(name: str) -> None:
    pipeline, image = UNPROVED[name](), by_hand.picture(SHAPE, GRID)
    ours = by_hand.predicted(pipeline, image, LABELS)
    expected = by_hand.stock(pipeline, image)
    assert any(NOTE in note for note in ours.notes)
    assert len(expected.unique()) > 1, "the bundle must find something, or the test tells nothing"
    np.testing.assert_allclose(ours.answer, expected, atol=1e-6)


def test_the_note_is_in_the_provenance_and_tells_why() -> None:
    pipeline, image = UNPROVED["a smoothing before the decision"](), by_hand.picture(SHAPE, GRID)
    result = run(by_hand.bundle_of(LABELS), image, by_hand.FULL, build=lambda *_: pipeline)
    (note,) = [note for note in result.provenance.notes if NOTE in note]
    assert "MedianSmoothd comes before the decision" in note


def test_volumes_that_cannot_be_given_are_said_to_be_missing() -> None:
    image = by_hand.picture(SHAPE, GRID)
    ours = by_hand.predicted(UNPROVED["two activations"](), image, LABELS, channels=[1])
    assert ours.volumes == {} and "no probability volumes" in " ".join(ours.notes)


def test_several_outputs_are_an_error_in_one_sentence() -> None:
    with pytest.raises(BundleError, match=r"^[^\n]*made_by_hand[^\n]*\.$"):
        by_hand.predicted(made(network=Listed(2)), by_hand.picture(SHAPE, GRID), LABELS)


def test_it_can_be_cancelled_at_a_window() -> None:
    asked = []

    def cancel() -> bool:
        asked.append(True)
        return len(asked) == 8

    with pytest.raises(CancelledError):
        by_hand.predicted(
            made(inferer=OwnInferer(**WINDOWS)), by_hand.picture(SHAPE, GRID), LABELS, monitor=Monitor(cancel=cancel)
        )


def test_memory_that_runs_out_is_told_in_one_sentence() -> None:
    class Hungry(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(MemoryLimitError, match=r"^The run needs more memory than cpu has; [^\n.]*\.$"):
        by_hand.predicted(made(network=Hungry(), inferer=OwnInferer(**WINDOWS)), by_hand.picture(SHAPE, GRID), LABELS)
