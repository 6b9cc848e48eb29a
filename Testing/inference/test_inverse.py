"""The tables of the inverse, and the labels decided from cells, are what MONAI's own inverse of all channels gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import (
    CenterSpatialCropd,
    Compose,
    CropForegroundd,
    DivisiblePadd,
    EnsureTyped,
    Flipd,
    Invertd,
    Orientationd,
    Resized,
    ResizeWithPadOrCropd,
    Rotate90d,
    Spacingd,
    SpatialPadd,
)

from DeepImagingLib.inference import cells
from DeepImagingLib.inference.inverse import OUT, Axis, NotSeparable, read_inverse
from Testing.grids import AXIS_CODES, affine

CLASSES = 5
TIE = 1e-4

STEPS = {
    "orientation": Orientationd("image", axcodes="RAS", labels=None),
    "orientation LPI": Orientationd("image", axcodes="LPI", labels=None),
    "finer": Spacingd("image", (1.1, 0.9, 1.3)),
    "coarser": Spacingd("image", (3.1, 2.3, 2.7)),
    "zeros outside": Spacingd("image", (2.0, 2.0, 2.0), padding_mode="zeros"),
    "corners aligned": Spacingd("image", (2.5, 2.5, 2.5), align_corners=True),
    "resized": Resized("image", (9, 8, 7), mode="trilinear"),
    "resized by corners": Resized("image", (9, 14, 7), mode="trilinear", align_corners=True),
    "resized by area": Resized("image", (7, 6, 5)),
    "foreground": CropForegroundd("image", source_key="image", margin=1, k_divisible=4),
    "padded": SpatialPadd("image", (22, 18, 17)),
    "divisible": DivisiblePadd("image", 8),
    "center": CenterSpatialCropd("image", (9, 10, 8)),
    "pad or crop": ResizeWithPadOrCropd("image", (20, 9, 16)),
    "flip": Flipd("image", (0, 2)),
}
RESAMPLES = [name for name in STEPS if isinstance(STEPS[name], (Spacingd, Resized))]
OTHERS = [name for name in STEPS if name not in RESAMPLES]


def scan(shape: tuple[int, int, int], grid: np.ndarray) -> MetaTensor:
    """A block of ones in a frame of zeros, so that there is a foreground to crop to."""
    image = torch.zeros(1, *shape)
    image[:, 2:-1, 1:-2, 3:-1] = 1
    return MetaTensor(image, affine=torch.as_tensor(grid))


def stock_inverse(chain: Compose, image: MetaTensor, values: torch.Tensor, *, nearest: bool) -> torch.Tensor:
    """Return all channels (K, I, J, K) by MONAI's Invertd."""
    prepared = chain({"image": image})
    invert = Invertd("pred", transform=chain, orig_keys="image", nearest_interp=nearest)
    return invert({**prepared, "pred": MetaTensor(values, affine=prepared["image"].affine)})["pred"].as_tensor()


def ours(
    prepared: MetaTensor, values: torch.Tensor, *, nearest: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return labels, one channel, and where another channel exceeds a half, each in the result's grid."""
    inverse = read_inverse(prepared, nearest=nearest)
    order = sorted(range(3), key=lambda index: inverse.axes[index].source)
    axes = tuple(inverse.axes[index] for index in order)
    fine = (
        cells.argmax(values, axes),
        cells.interpolate(values[1].contiguous(), axes),
        cells.at_least(values[2].contiguous(), axes, 0.5, strict=False),
    )
    back = np.argsort(order).tolist()
    return tuple(part.permute(back) for part in fine)


@st.composite
def chains(draw: st.DrawFn) -> list[str]:
    """A few steps, one of which resamples."""
    before = draw(st.lists(st.sampled_from(OTHERS), max_size=2))
    after = draw(st.lists(st.sampled_from(OTHERS), max_size=2))
    return [*before, draw(st.sampled_from(RESAMPLES)), *after]


@settings(max_examples=60, deadline=None)
@given(
    names=chains(),
    code=st.sampled_from(AXIS_CODES),
    spacing=st.tuples(*[st.sampled_from([0.8, 1.0, 1.37, 2.0, 4.1])] * 3),
    oblique=st.booleans(),
    nearest=st.booleans(),
    seed=st.integers(0, 1000),
)
@example(
    names=["zeros outside", "foreground"], code="AIL", spacing=(2.0, 0.8, 0.8), oblique=True, nearest=False, seed=0
)
def test_tables_and_cells_give_what_monais_inverse_gives(
    names: list[str], code: str, spacing: tuple[float, float, float], oblique: bool, nearest: bool, seed: int
) -> None:
    grid = affine(code, spacing, (12.0, -30.0, 7.0), rotation=(4, -3, 8) if oblique else (0, 0, 0))
    chain = Compose([EnsureTyped("image"), *(STEPS[name] for name in names)])
    image = scan((15, 13, 16), grid)
    prepared = chain({"image": image})["image"]
    values = torch.rand(CLASSES, *prepared.shape[1:], generator=torch.Generator().manual_seed(seed))
    if nearest and oblique:
        try:
            read_inverse(prepared, nearest=True)
        except NotSeparable as error:
            assume("half-way" not in str(error))
    stock = stock_inverse(chain, image, values, nearest=nearest)
    labels, channel, mask = ours(prepared, values, nearest=nearest)
    assert labels.shape == stock.shape[1:] == image.shape[1:]
    np.testing.assert_allclose(channel, stock[1], atol=1e-5)
    best = stock.topk(2, dim=0).values
    clear = (best[0] - best[1] > TIE) | (stock == 0).all(0)
    assert torch.equal(labels[clear].long(), stock.argmax(0)[clear])
    decided = (stock[2] - 0.5).abs() > TIE
    assert torch.equal(mask[decided], (stock[2] >= 0.5)[decided])


@pytest.mark.parametrize("steps", [["coarser", "resized"], ["quarter turn"]])
def test_what_isnt_told_axis_by_axis_is_refused(steps: list[str]) -> None:
    known = STEPS | {"quarter turn": Rotate90d("image")}
    prepared = Compose([known[name] for name in steps])({"image": scan((15, 13, 16), np.eye(4))})["image"]
    with pytest.raises(NotSeparable):
        read_inverse(prepared, nearest=False)


def test_a_spacing_that_turns_the_grid_is_refused() -> None:
    turned = Compose([Spacingd("image", (2.0, 2.0, 2.0), diagonal=True)])
    prepared = turned({"image": scan((15, 13, 16), affine("RAS", (1, 1, 1), (0, 0, 0), rotation=(4, -3, 8)))})["image"]
    with pytest.raises(NotSeparable, match="turns"):
        read_inverse(prepared, nearest=False)


def test_the_place_of_the_result_is_that_of_the_scan() -> None:
    grid = affine("SPL", (1.37, 1.0, 4.1), (12.0, -30.0, 7.0), rotation=(4, -3, 8))
    steps = ["orientation", "coarser", "foreground", "flip", "padded", "center"]
    prepared = Compose([STEPS[name] for name in steps])({"image": scan((15, 13, 16), grid)})["image"]
    inverse = read_inverse(prepared, nearest=False)
    np.testing.assert_allclose(inverse.affine, grid, atol=1e-9)
    assert inverse.shape == (15, 13, 16)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["logits", "probabilities", "few values"]),
    classes=st.integers(2, 300),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_cells_give_the_argmax_of_all_channels(kind: str, classes: int, channels_last: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(classes, 5, 6, 4, generator=generator) * 3
    if kind == "probabilities":
        values = values.softmax(0)
    if kind == "few values":  # ties at corners
        values = values.round()
    chain = Compose([Resized("image", (5, 6, 4), mode="trilinear")])
    image = scan((13, 9, 11), np.eye(4))
    stock = stock_inverse(chain, image, values, nearest=False)
    padded = values if classes > 2 else torch.cat([values, values])
    padded = padded.movedim(0, -1).contiguous().movedim(-1, 0) if channels_last else padded
    labels, _, _ = ours(chain({"image": image})["image"], padded, nearest=False)
    best = stock.topk(2, dim=0).values
    clear = best[0] - best[1] > TIE
    assert clear.any()
    assert torch.equal(labels[clear].long(), stock.argmax(0)[clear])


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_softmax_is_interpolated_where_it_is_left_to_the_cells(channels_last: bool, monkeypatch) -> None:
    monkeypatch.setattr(cells, "PART_BYTES", 4000)  # in several parts
    values = torch.randn(7, 12, 9, 8, generator=torch.Generator().manual_seed(3)) * 4
    values = values.movedim(0, -1).contiguous().movedim(-1, 0) if channels_last else values
    axes = tuple(_linear_axis(source, n) for source, n in enumerate(values.shape[1:]))
    left = cells.argmax(values, axes, lambda part: part.softmax(0))
    before = cells.argmax(values.softmax(0), axes)
    of_logits = cells.argmax(values, axes)
    assert torch.equal(left, before)
    assert not torch.equal(left, of_logits)


def _linear_axis(source: int, length: int) -> Axis:
    """Rows at every third of a voxel, one before the grid and one after it."""
    positions = np.arange(-3, 3 * length) / 3
    low = np.floor(positions).astype(int)
    first, second = (np.where((rows < 0) | (rows >= length), OUT, rows) for rows in (low, low + 1))
    return Axis(source, first, second, positions - low)
