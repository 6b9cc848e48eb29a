"""Preprocessing step by step gives what MONAI's own Compose gives, and never writes into the images it is given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai import transforms
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    EnsureTyped,
    FillHolesd,
    Invertd,
    KeepLargestConnectedComponentd,
    MapTransform,
    NormalizeIntensityd,
    OneOf,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
    StdShiftIntensityd,
    ToNumpyd,
)

from DeepImagingLib.bundles import allowed
from DeepImagingLib.errors import CancelledError
from DeepImagingLib.files import as_image
from DeepImagingLib.inference import resample
from DeepImagingLib.inference.preprocess import preprocess
from DeepImagingLib.inference.progress import Monitor, Progress
from Testing.grids import AXIS_CODES, affine

LAST_BIT = 2.0**-24  # of a float32 below 1
KEY = "image"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def small_tiles() -> Iterator[None]:
    """Let the smallest image have many tiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resample, "REACH", 5)
        yield


def scan(shape: tuple[int, ...] = (11, 9, 10), grid: np.ndarray | None = None, *, channels: int = 1) -> MetaTensor:
    """Noise of -1..1, a part of which is 0 as outside of a patient."""
    values = np.random.default_rng(sum(shape)).uniform(-1, 1, (channels, *shape)).astype(np.float32)
    values[:, :2] = 0
    return as_image(values, affine("LAS", (0.9, 0.8, 1.7), (5.0, -3.0, 20.0)) if grid is None else grid)


def quiet() -> Monitor:
    return Monitor()


def plain(value: Any) -> Any:
    """Return meta data as values that compare by `==`."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, torch.Tensor | np.ndarray) else value


def assert_same(ours: MetaTensor, monai: MetaTensor, tolerance: float = 0.0) -> None:
    torch.testing.assert_close(ours.as_tensor(), monai.as_tensor(), rtol=0, atol=tolerance)
    assert plain(ours.meta) == plain(monai.meta)
    assert plain(ours.applied_operations) == plain(monai.applied_operations)


@st.composite
def spacings(draw: st.DrawFn) -> tuple[Spacingd, MetaTensor]:
    """A Spacingd of the kinds that go by tiles, finer and coarser, and an image in any grid."""
    shape = draw(st.tuples(*[st.integers(1, 14)] * 3))
    # Halves and doubles put voxels half-way between others, where rounding decides which is nearest.
    mm = st.sampled_from((0.5, 1.0, 2.0)) | st.floats(0.4, 4)
    spacing = draw(st.tuples(mm, mm, mm))
    angles = st.just((0.0, 0.0, 0.0)) | st.tuples(*[st.floats(-180, 180)] * 3)
    grid = affine(draw(st.sampled_from(AXIS_CODES)), spacing, (12.3, -45.6, 7.0), draw(angles))
    step = Spacingd(
        KEY,
        draw(st.tuples(mm, mm, mm)),
        diagonal=draw(st.booleans()),
        mode=draw(st.sampled_from(("bilinear", "nearest"))),
        padding_mode=draw(st.sampled_from(("border", "zeros"))),
        align_corners=draw(st.booleans()),
        dtype=draw(st.sampled_from((np.float64, np.float32))),
    )
    return step, scan(shape, grid, channels=draw(st.integers(1, 2)))


@settings(max_examples=200, deadline=None)
@given(spacings())
def test_a_resampled_image_is_that_of_monai_and_is_inverted_by_monai(case: tuple[Spacingd, MetaTensor]) -> None:
    step, image = case
    chain = Compose([step])
    monai = chain({KEY: image})
    ours = preprocess(chain, {KEY: image}, quiet())
    exact = step.mode[0] == "nearest" or step.dtype[0] is np.float32
    assert_same(ours[KEY], monai[KEY], 0.0 if exact else LAST_BIT)
    invert = Invertd("pred", transform=chain, orig_keys=KEY)
    back, expected = (invert({**data, "pred": monai[KEY].clone()})["pred"] for data in (ours, monai))
    assert_same(back, expected)


@pytest.mark.parametrize("code", AXIS_CODES)
def test_a_usual_chain_is_that_of_monai_in_every_orientation(code: str) -> None:
    image = scan(grid=affine(code, (0.9, 0.8, 1.7), (5.0, -3.0, 20.0), (4, -3, 8)))
    within = Compose([Spacingd(KEY, (1.5, 1.5, 2.0)), ScaleIntensityRanged(KEY, -1, 1, 0, 1, clip=True)])
    chain = Compose([Orientationd(KEY, axcodes="RAS", labels=None), within, EnsureTyped(KEY)])
    assert_same(preprocess(chain, {KEY: image}, quiet())[KEY], chain({KEY: image})[KEY], LAST_BIT)


@pytest.mark.parametrize(
    "settings_of",
    [{"mode": 3, "padding_mode": "nearest"}, {"padding_mode": "reflection"}, {"pixdim": (0.9, 0.8, 1.7)}],
    ids=["splines", "reflected", "unchanged"],
)
@pytest.mark.parametrize("shape", [(11, 9, 10), (11, 9)], ids=["volume", "picture"])
def test_what_does_not_go_by_tiles_is_monais_own(settings_of: dict[str, Any], shape: tuple[int, ...]) -> None:
    chain = Compose([Spacingd(KEY, **{"pixdim": (1.0, 1.0, 1.0), **settings_of})])
    assert_same(preprocess(chain, {KEY: scan(shape)}, quiet())[KEY], chain({KEY: scan(shape)})[KEY])


def test_images_of_one_study_keep_one_shape() -> None:
    """MONAI gives images of one shape and nearly one spacing the same new shape."""
    data = {"a": scan(), "b": scan(grid=affine("LAS", (0.9004, 0.8, 1.7)))}
    pixdim = 10 * 0.9 / 12.499  # ten steps of 0.9004 mm make one voxel more
    chain = Compose([Spacingd(("a", "b"), pixdim, recompute_affine=True)])
    assert Spacingd("b", pixdim)(data)["b"].shape != Spacingd("a", pixdim)(data)["a"].shape
    ours, monai = preprocess(chain, data, quiet()), chain(data)
    assert ours["a"].shape == ours["b"].shape
    for key in data:
        assert_same(ours[key], monai[key], LAST_BIT)


PUT_OFF = Compose([Orientationd(KEY, axcodes="RAS", labels=None), Spacingd(KEY, 2.0)], lazy=True)
UNUSUAL = {
    "lazy": PUT_OFF,
    "lazy within": Compose([PUT_OFF, ScaleIntensityRanged(KEY, -1, 1, 0, 1)]),
    "one of": OneOf([NormalizeIntensityd(KEY, nonzero=True)]),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_unusual_chain_is_run_as_monai_runs_it(kind: str) -> None:
    image = scan()
    before = image.numpy().tobytes()
    ours = preprocess(UNUSUAL[kind], {KEY: image}, quiet())
    assert image.numpy().tobytes() == before
    assert_same(ours[KEY], UNUSUAL[kind]({KEY: image.clone()})[KEY], LAST_BIT)


class Twice(MapTransform):
    """What only a trusted bundle has: it makes a list of two, whose images share memory."""

    def __call__(self, data: Any) -> list[Any]:
        return [dict(data), dict(data)]


def test_steps_after_a_list_are_run_on_each_of_its_items() -> None:
    image = scan()
    before = image.numpy().tobytes()
    chain = Compose([Twice(KEY), Compose([Spacingd(KEY, 2.0)]), NormalizeIntensityd(KEY, nonzero=True)])
    ours, monai = preprocess(chain, {KEY: image}, quiet()), chain({KEY: image.clone()})
    assert len(ours) == 2 and image.numpy().tobytes() == before
    for one, other in zip(ours, monai, strict=True):
        assert_same(one[KEY], other[KEY])


def test_progress_grows_from_0_within_steps_too() -> None:
    told: list[Progress] = []
    chain = Compose([EnsureTyped(KEY), Spacingd(KEY, 0.7)])
    preprocess(chain, {KEY: scan()}, Monitor(told.append))
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and 0.9 < fractions[-1] < 1


@pytest.mark.parametrize("answers", [1, 2, 7])
def test_a_cancel_is_heard_between_steps_and_tiles(answers: int) -> None:
    asked: list[None] = []
    reached: list[Any] = []

    def cancel() -> bool:
        asked.append(None)
        return len(asked) == answers

    chain = Compose([EnsureTyped(KEY), Spacingd(KEY, 0.7), reached.append])
    with pytest.raises(CancelledError):
        preprocess(chain, {KEY: scan()}, Monitor(cancel=cancel))
    assert len(asked) == answers and not reached


SETTINGS: dict[str, dict[str, Any]] = {
    "AdjustContrast": {"gamma": 1.5},
    "AsDiscrete": {"threshold": 0.5},
    "Activations": {"sigmoid": True},
    "BorderPad": {"spatial_border": 2},
    "CastToType": {"dtype": torch.float32},
    "CenterSpatialCrop": {"roi_size": (8, 8, 8)},
    "ClipIntensityPercentiles": {"lower": 1, "upper": 99},
    "ConcatItems": {"name": "both"},
    "CopyItems": {"times": 1, "names": ["again", "and again"]},
    "CropForeground": {"source_key": KEY},
    "DivisiblePad": {"k": 8},
    "Flip": {"spatial_axis": 0},
    "GaussianSmooth": {"sigma": 1.0},
    "KeepLargestConnectedComponent": {"is_onehot": False},
    "LabelFilter": {"applied_labels": [1]},
    "MedianSmooth": {"radius": 1},
    "MeanEnsemble": {"output_key": "mean"},
    "Orientation": {"axcodes": "LAS", "labels": None},  # as it is
    "RepeatChannel": {"repeats": 2},
    "ResampleToMatch": {"key_dst": "other"},
    "Resize": {"spatial_size": (11, 9, 10)},  # as it is
    "ResizeWithPadOrCrop": {"spatial_size": (11, 9, 10)},
    "Rotate": {"angle": 0.0},
    "Rotate90": {"k": 4},
    "ScaleIntensityRange": {"a_min": -1, "a_max": 1, "b_min": 0, "b_max": 1, "clip": True},
    "ScaleIntensityRangePercentiles": {"lower": 1, "upper": 99, "b_min": 0, "b_max": 1, "clip": True},
    "ShiftIntensity": {"offset": 1.0},
    "Spacing": {"pixdim": (0.9, 0.8, 1.7)},  # as it is
    "SpatialCrop": {"roi_start": (0, 0, 0), "roi_end": (99, 99, 99)},
    "SpatialPad": {"spatial_size": (11, 9, 10)},
    "StdShiftIntensity": {"factor": 1.0},
    "ThresholdIntensity": {"threshold": 0.2},
    "ToDevice": {"device": "cpu"},
    "Transpose": {"indices": (0, 1, 2, 3)},
    "VoteEnsemble": {"output_key": "vote"},
    "Zoom": {"zoom": 1.0},
}
"""Typical settings of what has no usual ones; where there are any that leave the image as it is, those."""

NAMES = sorted(
    {target.name.removesuffix("d") for target in allowed.TARGETS.values() if target.module.endswith(".dictionary")}
)


def labels() -> MetaTensor:
    """A hollow block and a lonely voxel."""
    image = scan()
    voxels = image.numpy()
    voxels[:] = 0
    voxels[:, 2:8, 2:7, 2:8] = 1
    voxels[:, 4, 4, 4] = 0
    voxels[:, 9, 7, 9] = 1
    return image


def step_of(name: str) -> MapTransform:
    """Return a transform of the list on two keys."""
    made: MapTransform = getattr(transforms, f"{name}d")((KEY, "other"), **SETTINGS.get(name, {}))
    return made


WRITERS = {
    "non-zero": NormalizeIntensityd(KEY, nonzero=True),
    "each channel": NormalizeIntensityd(KEY, channel_wise=True),
    "shift": StdShiftIntensityd(KEY, 1.0),
    "holes": FillHolesd(KEY),
    "largest": KeepLargestConnectedComponentd(KEY, is_onehot=False),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_writes_into_the_image_given_gets_a_copy(writer: str) -> None:
    image = labels()
    before = image.numpy().tobytes()
    steps = [Orientationd(KEY, axcodes="LAS", labels=None), ToNumpyd(KEY), WRITERS[writer]]  # two that copy nothing
    with torch.inference_mode():
        preprocess(Compose(steps), {KEY: image}, quiet())
    assert image.numpy().tobytes() == before
    Compose(steps)({KEY: image})
    assert image.numpy().tobytes() != before, "else no copy were needed"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Invert"])
def test_no_transform_of_the_list_changes_the_images_given(name: str) -> None:
    data = {KEY: labels(), "other": labels()}
    before = [(image.numpy().tobytes(), plain(image.meta)) for image in data.values()]
    with torch.inference_mode():
        preprocess(Compose([step_of(name)]), data, quiet())
    assert [(image.numpy().tobytes(), plain(image.meta)) for image in data.values()] == before
    assert not any(image.applied_operations or image.pending_operations for image in data.values())


def test_only_what_would_be_written_to_is_copied() -> None:
    data = {KEY: scan(), "other": scan()}
    chain = Compose([ToNumpyd("other"), Orientationd(KEY, axcodes="LAS", labels=None), EnsureTyped((KEY, "other"))])
    kept = preprocess(chain, data, quiet())
    assert all(np.may_share_memory(kept[key].numpy(), data[key].numpy()) for key in data)


MEASURE = """
import numpy as np
from monai.transforms import Compose, Orientationd, Spacingd
from DeepImagingLib.files import as_image
from DeepImagingLib.inference.memory import peak_memory
from DeepImagingLib.inference.preprocess import preprocess
from DeepImagingLib.inference.progress import Monitor

chain = Compose([Orientationd("image", axcodes="RAS", labels=None), Spacingd("image", (2, 2, 2))])
affine = np.diag([-0.8, -0.8, 1.0, 1.0])
preprocess(chain, {"image": as_image(np.zeros((1, 9, 9, 9)), affine)}, Monitor())
image = as_image(np.ones((1, 256, 256, 400), np.float32), affine)
before = peak_memory()
result = preprocess(chain, {"image": image}, Monitor())["image"]
print((peak_memory() - before - result.nbytes) / image.nbytes)
"""


def test_a_scan_is_preprocessed_within_little_more_than_one_copy_of_it() -> None:
    """MONAI's own takes four more."""
    measured = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(measured.stdout) < 1.3
