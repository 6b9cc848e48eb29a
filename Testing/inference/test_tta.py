"""Mirrored windows are averaged within the sweep: as whole images would be, at no more memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer, SlidingWindowInferer
from monai.transforms import MedianSmoothd, Orientationd

from DeepImagingLib.bundles import Pipeline
from DeepImagingLib.errors import InputError
from Testing.grids import affine
from Testing.inference import by_hand
from Testing.inference.by_hand import FULL

LABELS = 3
SHAPE, WINDOW = (24, 18, 16), (12, 12, 8)  # with half of them overlapping, windows lie alike from both ends
IMAGE = by_hand.picture(SHAPE, affine("LPS", (1.2, 1.0, 1.6), (12.0, -30.0, 7.0)))
RAS = Orientationd("image", axcodes="RAS", labels=None)


def made(network: torch.nn.Module, inferer: Any = None, **options: Any) -> Pipeline:
    return by_hand.pipeline_of(network, inferer or SlidingWindowInferer(WINDOW, 2, 0.5, **options), [RAS])


def averaged(pipeline: Pipeline, axes: Sequence[int]) -> dict[str, Any]:
    """Return MONAI's data before post-processing: the mean output of its inferer over all mirrored images."""
    data = by_hand.network_output(pipeline, IMAGE)
    prepared, outputs = data["image"].as_tensor(), []
    for dims in (list(chosen) for count in range(len(axes) + 1) for chosen in combinations(axes, count)):
        mirrored = [axis + 1 for axis in dims]
        with torch.inference_mode():
            output = pipeline.inferer(prepared.flip(mirrored)[None], pipeline.network)[0]
        outputs.append(output.flip(mirrored))
    return {**data, "pred": MetaTensor(torch.stack(outputs).mean(0), affine=data["image"].affine)}


@pytest.mark.parametrize("letters", ["i", "k", "ij", "ijk"])
def test_the_answer_is_the_mean_of_those_to_mirrored_images(letters: str) -> None:
    pipeline = made(by_hand.context_network(LABELS))
    found = by_hand.predicted(pipeline, IMAGE, LABELS, replace(FULL, tta=letters), channels=range(LABELS))
    data = averaged(pipeline, ["ijk".index(letter) for letter in letters])
    expected = pipeline.postprocessing.transforms[1](pipeline.postprocessing.transforms[0](dict(data)))["pred"]
    for channel in range(LABELS):
        np.testing.assert_allclose(found.volumes[channel], expected[channel], atol=1e-5)
    best = expected.as_tensor().topk(2, dim=0).values
    clear = best[0] - best[1] > 1e-4
    assert torch.equal(by_hand.labels_of(found)[clear], expected.as_tensor().argmax(0)[clear])
    plain = by_hand.predicted(pipeline, IMAGE, LABELS)
    assert not np.array_equal(found.answer, plain.answer), "mirroring must matter, or the test tells nothing"


@pytest.mark.parametrize("letters", ["i", "ik"])
def test_slices_are_mirrored_along_the_axes_that_the_network_sees(letters: str) -> None:
    pipeline = made(by_hand.context_network(LABELS, rank=2), SliceInferer(roi_size=(12, 8), spatial_dim=1, overlap=0.5))
    found = by_hand.predicted(pipeline, IMAGE, LABELS, replace(FULL, tta=letters))
    data = averaged(pipeline, ["ijk".index(letter) for letter in letters])
    expected = by_hand.placed(pipeline.postprocessing(data), IMAGE)[0].long()
    assert float((by_hand.labels_of(found) == expected).float().mean()) > 0.999


def test_an_axis_that_the_network_does_not_see_is_refused() -> None:
    pipeline = made(by_hand.context_network(LABELS, rank=2), SliceInferer(roi_size=(12, 8), spatial_dim=1))
    with pytest.raises(InputError, match="doesn't see axis 'j'"):
        by_hand.predicted(pipeline, IMAGE, LABELS, replace(FULL, tta="ij"))


def test_a_bundle_that_runs_as_it_is_says_that_nothing_is_mirrored() -> None:
    pipeline = made(by_hand.context_network(LABELS))
    steps = (MedianSmoothd("pred", 1), *pipeline.postprocessing.transforms)
    own = replace(pipeline, postprocessing=type(pipeline.postprocessing)(list(steps)))
    found = by_hand.predicted(own, IMAGE, LABELS, replace(FULL, tta="ij"))
    assert any("mirror" in note for note in found.notes)


def test_it_holds_no_more_than_one_output_and_its_input_above_a_plain_run() -> None:
    def peak(letters: str) -> int:
        with by_hand.watched(by_hand.context_network(LABELS)) as network:
            by_hand.predicted(made(network), IMAGE, LABELS, replace(FULL, tta=letters))
        return network.peak

    voxels = int(np.prod(WINDOW)) * 2  # a batch
    assert peak("") > 0
    assert peak("ijk") - peak("") <= 4 * voxels * (LABELS + 1)


def test_each_way_of_seeing_is_run_once_for_each_window() -> None:
    calls: list[int] = []

    class Counting(torch.nn.Module):
        inner: Callable[..., torch.Tensor] = by_hand.context_network(LABELS)

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            calls.append(len(batch))
            return self.inner(batch)

    by_hand.predicted(made(Counting()), IMAGE, LABELS, replace(FULL, tta="ik"))
    assert sum(calls) == 4 * 3 * 2 * 3
