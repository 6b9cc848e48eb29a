"""Mean entropy: 1 for a guess, 0 for what is sure, and the air around tells nothing."""

from __future__ import annotations

import math

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.transforms import Spacingd
from torch.utils._python_dispatch import TorchDispatchMode

from DeepImagingLib.errors import BundleError, CancelledError
from DeepImagingLib.inference.progress import Monitor
from DeepImagingLib.inference.uncertainty import mean_entropy
from Testing.inference import by_hand

SURE, NOTHING = 30.0, -30.0


class SaysTheImage(torch.nn.Module):
    """Gives the image as the logits of each label beside a background of zeros, or of each label alone."""

    def __init__(self, labels: int, background: bool = True) -> None:
        super().__init__()
        self.labels, self.background = labels, background

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        alike = [image] * self.labels
        return torch.cat([torch.zeros_like(image), *alike] if self.background else alike, 1)


def scan(*values: float) -> MetaTensor:
    """A scan with a slab of each value."""
    return MetaTensor(torch.tensor(values).repeat_interleave(8)[None, :, None, None].expand(1, -1, 16, 16).clone())


def entropy(network: SaysTheImage, image: MetaTensor, steps: tuple[object, ...] = ()) -> float:
    pipeline = by_hand.pipeline_of(network, SlidingWindowInferer((16, 16, 16), 4), steps)
    channels = network.labels + network.background
    bundle = by_hand.bundle_of(channels, background=network.background)
    return mean_entropy(bundle, pipeline, {"image": image}, by_hand.CPU, Monitor())


@pytest.mark.parametrize("background", [True, False])
def test_it_is_the_share_that_is_guessed_of_what_comes_into_question(background: bool) -> None:
    network = SaysTheImage(1 if background else 2, background)
    assert entropy(network, scan(SURE, SURE, 0)) == pytest.approx(1 / 3, abs=1e-4)
    assert entropy(network, scan(SURE, 0)) == pytest.approx(1 / 2, abs=1e-4)


def test_air_around_the_patient_tells_nothing() -> None:
    network = SaysTheImage(1)
    assert entropy(network, scan(SURE, 0, NOTHING, NOTHING)) == pytest.approx(entropy(network, scan(SURE, 0)))
    assert entropy(network, scan(NOTHING, NOTHING)) == math.inf


def test_labels_that_exclude_each_other_have_one_distribution() -> None:
    expected = math.log(3) / math.log(4)  # three as likely as each other, and no background
    assert entropy(SaysTheImage(3), scan(SURE, SURE)) == pytest.approx(expected, abs=1e-4)


def test_it_is_of_the_networks_own_grid() -> None:
    assert entropy(SaysTheImage(1), scan(SURE, 0), (Spacingd("image", (2.0, 2.0, 2.0)),)) == pytest.approx(0.5, abs=0.1)


def test_a_network_that_gives_no_numbers_is_told() -> None:
    with pytest.raises(BundleError, match="not numbers"):
        entropy(SaysTheImage(1), scan(float("nan"), 0))


class Whole(TorchDispatchMode):
    """Collects the memory of all that is as large as the logits of four labels of a scan of 64 planes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.shape == (4, 16, 16, 64):
            self.seen.add(made.untyped_storage().data_ptr())
        return made


def test_it_needs_no_second_array_of_the_size_of_the_logits() -> None:
    image = MetaTensor(torch.zeros(1, 16, 16, 64))
    with Whole() as whole:
        assert entropy(SaysTheImage(3), image) == pytest.approx(1)
    assert len(whole.seen) == 1


def test_it_can_be_cancelled() -> None:
    pipeline = by_hand.pipeline_of(SaysTheImage(1), SlidingWindowInferer((16, 16, 16), 1))
    with pytest.raises(CancelledError):
        mean_entropy(
            by_hand.bundle_of(2), pipeline, {"image": scan(0, 0, 0)}, by_hand.CPU, Monitor(cancel=lambda: True)
        )
