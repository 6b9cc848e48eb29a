"""Slab by slab, at full precision, gives what MONAI gives on all channels at once, whatever the bundle is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.data.utils import dense_patch_slices
from monai.inferers import SimpleInferer, SliceInferer, SlidingWindowInferer, SlidingWindowInfererAdapt
from monai.transforms import (
    AsDiscreted,
    Compose,
    CropForegroundd,
    EnsureTyped,
    KeepLargestConnectedComponentd,
    Orientationd,
    Resized,
    ScaleIntensityd,
    Spacingd,
    SpatialPadd,
)

from DeepImagingLib import run
from DeepImagingLib.bundles import Pipeline
from DeepImagingLib.inference.inverse import NotSeparable, read_inverse
from DeepImagingLib.tasks.segmentation import Masks
from Testing.grids import AXIS_CODES, affine
from Testing.inference import by_hand
from Testing.inference.by_hand import ARGMAX, SIGMOID, SOFTMAX, THRESHOLD

TIE = 1e-4
ROUNDING = 1e-6  # of the channels: what differs by less may come out either way
MOST_WINDOWS = 150

RAS = Orientationd("image", axcodes="RAS", labels=None)
SCALE = ScaleIntensityd("image")
PREPROCESSINGS: dict[str, list[Any]] = {
    "none": [EnsureTyped("image")],
    "oriented": [RAS, SCALE],
    "coarser": [RAS, Spacingd("image", (2.3, 1.9, 2.6)), SCALE],
    "finer": [Spacingd("image", (0.9, 1.1, 1.0)), SCALE],
    "zeros outside": [RAS, Spacingd("image", (1.6, 1.6, 1.6), padding_mode="zeros")],
    "resized": [RAS, Resized("image", (13, 12, 14), mode="trilinear")],
    "cropped": [Spacingd("image", (1.5, 1.5, 1.5)), CropForegroundd("image", source_key="image", margin=1)],
    "padded": [RAS, SpatialPadd("image", (18, 22, 15))],
}
FLAT_PREPROCESSINGS: dict[str, list[Any]] = {
    "none": [EnsureTyped("image")],
    "coarser": [Spacingd("image", (1.7, 1.5)), SCALE],
    "resized": [Resized("image", (14, 17), mode="bilinear")],
}


@dataclass(frozen=True)
class Chain:
    """A post-processing: what makes its values, which of them is undone when, and what decides.

    Attributes:
        values: Steps before the decision, "invert" and "nearest" being those that undo the preprocessing.
        decision: The step that decides, and those after it.
        thresholds: Whether labels may overlap.
    """

    values: tuple[Any, ...]
    decision: tuple[Any, ...]
    thresholds: bool = False

    def steps(self, preprocessing: Compose, part: Sequence[Any]) -> list[Any]:
        undo = {mode: by_hand.inversion(preprocessing, nearest=mode == "nearest") for mode in ("invert", "nearest")}
        return [undo[step] if isinstance(step, str) else step for step in part]


LARGEST = KeepLargestConnectedComponentd("pred")
ONE_HOT = AsDiscreted("pred", argmax=True, to_onehot=40)
CHAINS = {
    "usual": Chain((SOFTMAX, "invert"), (ARGMAX,)),
    "of logits": Chain(("invert",), (ARGMAX,)),
    "activated last": Chain(("invert", SOFTMAX), (ARGMAX,)),
    "nearest": Chain((SOFTMAX, "nearest"), (ARGMAX,)),
    "one channel a class": Chain((SOFTMAX, "invert"), (ONE_HOT,)),
    "undecided": Chain((SOFTMAX, "invert"), ()),
    "labels inverted": Chain((SOFTMAX,), (ARGMAX, "nearest")),
    "never inverted": Chain((SOFTMAX,), (ARGMAX,)),
    "largest": Chain((SOFTMAX, "invert"), (ARGMAX, LARGEST)),
    "largest inverted": Chain((SOFTMAX,), (ARGMAX, LARGEST, "nearest")),
    "overlapping": Chain((SIGMOID, "invert"), (THRESHOLD,), thresholds=True),
    "overlapping, activated last": Chain(("invert", SIGMOID), (THRESHOLD,), thresholds=True),
    "overlapping, undecided": Chain((SIGMOID, "invert"), (), thresholds=True),
    "overlapping, masks inverted": Chain((SIGMOID,), (THRESHOLD, "nearest"), thresholds=True),
}


MAPPED = {"invert", "nearest"}
SHOWN = [name for name, chain in CHAINS.items() if chain.values[-1] in MAPPED and name != "of logits"]
"""Chains whose values before the decision are probabilities in the grid of the scan."""


@dataclass(frozen=True)
class Inferer:
    """How windows are laid, as plain values that a failing example shows."""

    kind: str
    roi: Any = None
    overlap: Any = 0.25
    mode: str = "constant"
    padding: str = "constant"
    batch: int = 1
    axis: int = 0
    others: tuple[tuple[str, Any], ...] = ()

    def on(self, shape: Sequence[int]) -> Any:
        """Return the inferer for an image of that shape, if it is one that MONAI takes and that is soon done."""
        if self.kind == "simple":
            return SimpleInferer()
        roi = list(self.roi) if isinstance(self.roi, (list, tuple)) else [self.roi] * len(shape)
        if self.kind == "slices":
            roi.insert(self.axis, 1)
        window = [r if r and r > 0 else n for r, n in zip(roi, shape, strict=True)]
        if self.padding == "reflect":
            assume(all(-(-(w - n) // 2) < n for w, n in zip(window, shape, strict=True)))
        overlap = self.overlap if isinstance(self.overlap, tuple) else (self.overlap,) * len(shape)
        size = [max(w, n) for w, n in zip(window, shape, strict=True)]
        steps = [w if w == n else max(int(w * (1 - o)), 1) for w, n, o in zip(window, size, overlap, strict=True)]
        assume(len(dense_patch_slices(size, window, steps)) <= MOST_WINDOWS)
        settings_ = {"sw_batch_size": self.batch, "overlap": self.overlap, "mode": self.mode}
        settings_ |= {"padding_mode": self.padding, **dict(self.others)}
        if self.kind == "slices":
            return SliceInferer(roi_size=self.roi, spatial_dim=self.axis, **settings_)
        kind = SlidingWindowInfererAdapt if self.kind == "adapted" else SlidingWindowInferer
        return kind(self.roi, **settings_)


@dataclass(frozen=True)
class Case:
    """A whole bundle, and an image for it."""

    shape: tuple[int, ...]
    code: str
    spacing: tuple[float, float, float]
    oblique: bool
    preprocessing: str
    inferer: Inferer
    classes: int
    chain: str
    seed: int

    @property
    def labels(self) -> int:
        return 40 if self.chain == "one channel a class" else self.classes

    def image(self) -> MetaTensor:
        turned = (4, -3, 8) if self.oblique else (0, 0, 0)
        grid = affine(self.code, self.spacing, (12.0, -30.0, 7.0), rotation=turned)
        image = by_hand.picture(self.shape, grid, self.seed)
        image[(slice(None), *[slice(0, 2)] * len(self.shape))] = 0  # a corner of background to crop away
        return image

    def pipeline(self) -> Pipeline:
        flat = len(self.shape) == 2
        preprocessing = Compose((FLAT_PREPROCESSINGS if flat else PREPROCESSINGS)[self.preprocessing])
        shape = preprocessing({"image": self.image()})["image"].shape[1:]
        inferer = self.inferer.on(shape)
        rank = 2 if flat or self.inferer.kind == "slices" else 3
        network = by_hand.context_network(self.labels, rank=rank, seed=self.seed)
        chain = CHAINS[self.chain]
        steps = chain.steps(preprocessing, (*chain.values, *chain.decision))
        return Pipeline(preprocessing, network, inferer, Compose(steps))


OVERLAPS = st.sampled_from([0, 0.1, 0.25, 0.5, 0.625, 0.8, 0.9])
BLENDS = st.sampled_from([(), (("sigma_scale", 0.25),), (("cache_roi_weight_map", True),), (("cval", -1.0),)])


@st.composite
def inferers(draw: st.DrawFn, rank: int) -> Inferer:
    kinds = ["sliding", "sliding", "sliding", "adapted", "simple", *(["slices", "slices"] if rank == 3 else [])]
    kind = draw(st.sampled_from(kinds))
    sides = 2 if kind == "slices" else rank
    roi = draw(st.tuples(*[st.sampled_from([6, 9, 11, 14, 21, -1, None])] * sides))
    if kind != "slices":
        roi = draw(st.one_of(st.just(roi), st.integers(8, 20)))
    others = draw(BLENDS)
    if dict(others).get("cache_roi_weight_map") and not all(isinstance(r, int) and r > 0 for r in np.atleast_1d(roi)):
        others = ()  # MONAI makes the map beforehand of windows whose sizes are given
    axis = draw(st.integers(0, 2)) if kind == "slices" else 0
    padding = draw(st.sampled_from(["constant", "replicate", "reflect"]))
    if "cval" in dict(others):
        padding = "constant"
    return Inferer(
        kind,
        roi,
        draw(st.one_of(OVERLAPS, st.tuples(*[OVERLAPS] * rank))),
        draw(st.sampled_from(["constant", "gaussian"])),
        padding,
        draw(st.sampled_from([1, 2, 5])),
        axis,
        others,
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rank = draw(st.sampled_from([3, 3, 3, 2]))
    chain = draw(st.sampled_from(list(CHAINS)))
    classes = [1, 2, 5, 40] if CHAINS[chain].thresholds else [2, 5, 40]
    return Case(
        shape=draw(st.tuples(*[st.integers(5, 30)] * rank)),
        code=draw(st.sampled_from(AXIS_CODES)) if rank == 3 else "RAS",
        spacing=draw(st.tuples(*[st.sampled_from([0.9, 1.0, 1.37, 2.0, 3.1])] * 3)),
        oblique=rank == 3 and draw(st.booleans()),
        preprocessing=draw(st.sampled_from(list(PREPROCESSINGS if rank == 3 else FLAT_PREPROCESSINGS))),
        inferer=draw(inferers(rank)),
        classes=draw(st.sampled_from(classes)),
        chain=chain,
        seed=draw(st.integers(0, 1000)),
    )


def check(case: Case) -> None:
    """Assert that engine and MONAI agree on every voxel that is no tie, and on the volumes of two channels."""
    image, pipeline, chain = case.image(), case.pipeline(), CHAINS[case.chain]
    if "nearest" in (*chain.values, *chain.decision):
        assume(_can_be_told(pipeline.preprocessing({"image": image.clone()})["image"]))
    shown = sorted({0, case.labels - 1})
    ours = by_hand.predicted(pipeline, image, case.labels, channels=shown, background=not chain.thresholds)
    assert not any("as it is" in note for note in ours.notes), "a chain of these is swept"
    clear = _clear(case, pipeline, image)
    if LARGEST in chain.decision:
        assume(bool(clear.all()))  # one voxel more or less can make another component the largest
    final = by_hand.stock(pipeline, image)
    assert torch.equal(_decided(ours.answer, final, chain)[clear], _decided(final, final, chain)[clear])
    if case.chain in SHOWN:
        expected = _after(chain, pipeline, chain.values, by_hand.network_output(pipeline, image))["pred"]
        for channel in shown:
            np.testing.assert_allclose(ours.volumes[channel].reshape(image.shape[1:]), expected[channel], atol=1e-5)


def _can_be_told(prepared: MetaTensor) -> bool:
    """Tell whether nearest voxels are a matter of the grid: half-way, in a turned one, rounding errors decide."""
    try:
        read_inverse(prepared, nearest=True)
    except NotSeparable as error:
        return "half-way" not in str(error)
    return True


def _after(chain: Chain, pipeline: Pipeline, steps: Sequence[Any], data: dict[str, Any]) -> dict[str, Any]:
    return Compose(chain.steps(pipeline.preprocessing, steps))(data)


def _clear(case: Case, pipeline: Pipeline, image: MetaTensor) -> torch.Tensor:
    """Return where stock's decision is no tie, as (1, I, J, K), or (K, I, J, K) where labels may overlap."""
    chain = CHAINS[case.chain]
    data = _after(chain, pipeline, chain.values, by_hand.network_output(pipeline, image))
    values = data["pred"]
    best = torch.cat([values, torch.zeros_like(values)]).topk(2, dim=0).values
    margin = (values - 0.5).abs() if chain.thresholds else best[:1] - best[1:]
    tied = (margin <= (ROUNDING if LARGEST in chain.decision else TIE)) & (values != 0).any(0, keepdim=True)
    # A tie goes the way of its label, through what comes after the decision.
    undo = [step for step in chain.decision if step == "nearest"]
    data = {**by_hand.network_output(pipeline, image), "pred": MetaTensor(tied.float(), affine=values.affine)}
    return by_hand.placed(_after(chain, pipeline, undo, data), image) == 0


def _decided(answer: Any, final: torch.Tensor, chain: Chain) -> torch.Tensor:
    """Return labels (1, I, J, K), or masks (K, I, J, K), of an answer that has the axes of stock's."""
    if isinstance(answer, Masks):
        answer = np.stack([answer[channel] for channel in range(len(answer))])
    values = torch.as_tensor(np.asarray(answer, dtype=np.float32))
    values = values.reshape(len(values), *final.shape[1:])
    if chain.thresholds:
        return values > 0.5
    return values.argmax(0, keepdim=True) if len(values) > 1 else values.long()


PATIENT = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=40, deadline=None, suppress_health_check=PATIENT)
@given(case=cases())
def test_the_answer_is_that_of_all_channels_at_once(case: Case) -> None:
    check(case)


@pytest.mark.slow
@settings(max_examples=600, deadline=None, suppress_health_check=PATIENT)
@given(case=cases())
def test_the_answer_is_that_of_all_channels_at_once_in_many_cases(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("axis", "padding"),
    [
        *[(axis, padding) for axis in (0, 1) for padding in ("constant", "replicate", "reflect")],
        (2, "constant"),
        (2, "replicate"),
        (2, "reflect"),
    ],
)
def test_slices_smaller_than_their_window_are_padded_along_each_axis(axis: int, padding: str) -> None:
    inferer = SliceInferer(roi_size=(14, 16), spatial_dim=axis, padding_mode=padding)
    pipeline = by_hand.pipeline_of(by_hand.context_network(3, rank=2), inferer, [RAS])
    image = by_hand.picture((11, 12, 13))
    assert torch.equal(
        by_hand.labels_of(by_hand.predicted(pipeline, image, 3)), by_hand.stock(pipeline, image)[0].long()
    )


PICTURES = {
    "swept": (SOFTMAX, "invert", ARGMAX),
    "with a last step": (SOFTMAX, "invert", ARGMAX, LARGEST),
    "labels inverted": (SOFTMAX, ARGMAX, "nearest"),
}


@pytest.mark.parametrize("after", ["swept", "with a last step", "labels inverted"])
def test_a_picture_is_swept_and_stays_one(after: str) -> None:
    preprocessing, image = Compose(FLAT_PREPROCESSINGS["coarser"]), by_hand.picture((30, 26))
    steps = Chain((), ()).steps(preprocessing, PICTURES[after])
    inferer = SlidingWindowInferer((12, 12), 2, 0.5)
    pipeline = Pipeline(preprocessing, by_hand.context_network(3, rank=2), inferer, Compose(steps))
    bundle = replace(by_hand.bundle_of(3), spatial_dims=2, takes_volume=False)
    options = replace(by_hand.FULL, probabilities=("structure 1",))
    result = run(bundle, image, options, build=lambda *_: pipeline)
    assert not any("as it is" in note for note in result.provenance.notes)
    expected = by_hand.stock(pipeline, image).long()
    assert torch.equal(torch.as_tensor(result.layers[..., 0].astype(np.int64)), expected)
    assert result.probability["structure 1"].shape == (30, 26, 1)


class TestVolumes:
    """Probability volumes lie on the voxels of the scan, and are what the bundle's chain decides by."""

    @pytest.mark.parametrize("name", CHAINS)
    def test_they_are_in_the_grid_of_the_scan_for_every_chain(self, name: str) -> None:
        image, pipeline, classes = self.of(name)
        found = by_hand.predicted(pipeline, image, classes, channels=[1], background=not CHAINS[name].thresholds)
        volume = found.volumes[1]
        assert volume.shape == image.shape[1:]
        assert 0 <= volume.min() < volume.max() <= 1
        expected = self.mapped(name, image, pipeline)
        inside = slice(3, -3)  # at the margins there are several ways to go on
        assert np.abs(volume - expected)[inside, inside, inside].mean() < 0.05

    @pytest.mark.parametrize(
        "name",
        [
            "usual",
            "overlapping",
            "activated last",
            ("overlapping, activated last"),
        ],
    )
    def test_they_have_the_values_before_the_last_decision(self, name: str) -> None:
        image, pipeline, classes = self.of(name)
        chain = CHAINS[name]
        found = by_hand.predicted(pipeline, image, classes, channels=[1], background=not chain.thresholds)
        expected = _after(chain, pipeline, chain.values, by_hand.network_output(pipeline, image))["pred"]
        np.testing.assert_allclose(found.volumes[1], expected[1], atol=1e-5)

    @staticmethod
    def of(name: str) -> tuple[MetaTensor, Pipeline, int]:
        case = Case((22, 20, 21), "LPS", (1.3, 1.3, 1.3), False, "oriented", Inferer("sliding", 12), 4, name, 0)
        preprocessing = Compose([RAS, Spacingd("image", (1.6, 1.6, 1.6)), SCALE])
        chain, image = CHAINS[name], case.image()
        network = by_hand.context_network(case.labels)
        steps = chain.steps(preprocessing, (*chain.values, *chain.decision))
        return image, Pipeline(preprocessing, network, SlidingWindowInferer((12, 12, 12)), Compose(steps)), case.labels

    @staticmethod
    def mapped(name: str, image: MetaTensor, pipeline: Pipeline) -> np.ndarray:
        """Return channel 1, activated and mapped to the scan by MONAI's Invertd."""
        chain = CHAINS[name]
        steps = [SIGMOID if chain.thresholds else SOFTMAX, by_hand.inversion(pipeline.preprocessing)]
        return Compose(steps)(by_hand.network_output(pipeline, image))["pred"].numpy()[1]
