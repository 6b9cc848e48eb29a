"""What a heatmap points at lies where it is in the world, whatever the preprocessing did."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from monai import transforms as mt
from monai.data import MetaTensor
from torch import nn

from DeepImagingLib.errors import BundleError
from DeepImagingLib.explain import METHODS, heatmap, to_input
from Testing.explain.bright import Bright, blob
from Testing.grids import AXIS_CODES, affine

CENTER = np.array([31.3, -12.4, 105.7])
SHAPE = (24, 20, 16)
SPACING = (2.0, 2.5, 3.0)
PICTURE_CODES = [code for code in AXIS_CODES if code.endswith("S")]
CHAINS = {
    "resized": lambda n: [mt.Resized("x", (20, 28, 18)[:n])],
    "resized, corners aligned": lambda n: [
        mt.Resized("x", (20, 28, 18)[:n], mode=["", "", "bilinear", "trilinear"][n], align_corners=True)
    ],
    "longest side": lambda n: [mt.Resized("x", 22, size_mode="longest")],
    "cropped": lambda n: [mt.CenterSpatialCropd("x", (20, 17, 15)[:n])],
    "padded": lambda n: [mt.SpatialPadd("x", (37, 32, 29)[:n])],
    "flipped": lambda n: [mt.Flipd("x", 0)],
    "turned": lambda n: [mt.Rotate90d("x", 1)],
    "zoomed": lambda n: [mt.Zoomd("x", 1.3)],
    "reoriented": lambda n: [mt.Orientationd("x", "PLS" if n == 3 else "PL", labels=None)],
    "spaced": lambda n: [mt.Spacingd("x", (3.0, 1.9, 2.2)[:n])],
    "a long chain": lambda n: [
        mt.Orientationd("x", "RAS" if n == 3 else "RA", labels=None),
        mt.Spacingd("x", (2.2,) * n),
        mt.Flipd("x", 1),
        mt.CenterSpatialCropd("x", (24, 24, 24)[:n]),
        mt.Resized("x", (30, 26, 22)[:n]),
        mt.SpatialPadd("x", (40, 32, 32)[:n]),
        mt.Rotate90d("x", 1),
    ],
}


def grid(code: str, rank: int, spacing: Sequence[float] = SPACING, rotation: Sequence[float] = (0, 0, 0)) -> np.ndarray:
    """Return the IJK→RAS of a grid round the blob, whose middle is some way off."""
    matrix = affine(code, spacing, (0, 0, 0), rotation)
    middle = [(n - 1) / 2 if axis < rank else 0 for axis, n in enumerate(SHAPE)]
    off = np.array([5.1, -4.2, 3.3])
    matrix[:3, 3] = CENTER + off - matrix[:3, :3] @ middle
    if rank == 2:
        matrix[2, 3] = CENTER[2]
    return matrix


def error(matrix: np.ndarray, rank: int, method: str, steps: Sequence[Callable[..., object]] = ()) -> np.ndarray:
    """Return how far a map's maximum on the image is off the blob, in the map's cells along their axes.

    Half a voxel of the image is granted: there is no place between voxels.
    """
    image = blob(SHAPE[:rank], matrix, CENTER)
    prepared = mt.Compose(steps)({"x": image})["x"]
    made = heatmap(Bright(rank), prepared, 0, method)
    found = to_input(made, image)
    assert found.shape == (*SHAPE[:rank], 1)[:3] and found.dtype == np.float32
    assert found.max() > 0
    peak = matrix @ [*np.unravel_index(found.argmax(), found.shape), 1]
    off = np.abs(np.linalg.solve(made.affine.numpy(), peak - [*CENTER, 1]))
    granted = np.abs(np.linalg.solve(made.affine.numpy(), matrix))[:, :rank].sum(1) / 2
    return np.maximum(off - granted, 0)[:rank]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", AXIS_CODES)
def test_the_maximum_is_within_a_cell_of_the_blob_however_voxels_lie(code: str, method: str) -> None:
    assert error(grid(code, 3), 3, method).max() <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", PICTURE_CODES)
def test_the_maximum_is_within_a_cell_in_pictures(code: str, method: str) -> None:
    assert error(grid(code, 2), 2, method).max() <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rotation", [(20, -35, 50), (-15, 10, 70)])
def test_the_maximum_is_within_a_cell_in_oblique_volumes(rotation: tuple[float, ...], method: str) -> None:
    assert error(grid("SAR", 3, (1.5, 3.0, 2.0), rotation), 3, method).max() <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", ["LPS", "ASL", "IRP"])
@pytest.mark.parametrize("name", CHAINS)
def test_the_maximum_is_within_a_cell_after_preprocessing(name: str, code: str, method: str) -> None:
    assert error(grid(code, 3), 3, method, CHAINS[name](3)).max() <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", ["RAS", "PLS"])
@pytest.mark.parametrize("name", CHAINS)
def test_the_maximum_is_within_a_cell_after_preprocessing_of_pictures(name: str, code: str, method: str) -> None:
    assert error(grid(code, 2), 2, method, CHAINS[name](2)).max() <= 1


BODIES = {
    "no padding": nn.Sequential(nn.Conv2d(1, 1, 5, 2), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3)),
    "as ResNets pad": nn.Sequential(nn.Conv2d(1, 1, 7, 2, 3), nn.AvgPool2d(3, 2, 1), nn.Conv2d(1, 1, 3, 2, 1)),
    "padded on one side": nn.Sequential(nn.ConstantPad2d((0, 1, 2, 1), 0.0), nn.Conv2d(1, 1, 3, 2)),
    "dilated": nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1, dilation=3)),
    "pooled to a size": nn.Sequential(nn.Conv2d(1, 1, 1), nn.AdaptiveAvgPool2d((6, 4))),
}


class TestWhereCellsLook:
    """The affine of a class activation map, against the middle of what each cell's slopes reach."""

    @pytest.mark.parametrize("name", BODIES)
    def test_cells_look_where_their_slopes_reach(self, name: str) -> None:
        body = BODIES[name]
        for weight in body.parameters():
            nn.init.constant_(weight, 0.1)
        image = MetaTensor(torch.ones(1, 48, 36), affine=torch.eye(4))
        made = heatmap(nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten()), image, 0, "gradcam", "0")
        pixels = torch.ones(1, 1, 48, 36, requires_grad=True)
        answer = body(pixels)[0, 0]
        cell = [n // 2 for n in answer.shape]
        if "MaxPool" in str(body):  # of ties it takes the first: compare with the mean of the window instead
            body = nn.Sequential(*[nn.AvgPool2d(2) if isinstance(part, nn.MaxPool2d) else part for part in body])
            answer = body(pixels)[0, 0]
        (slopes,) = torch.autograd.grad(answer[tuple(cell)], pixels)
        share = (slopes[0, 0] / slopes.sum()).numpy()
        middle = [(np.arange(n) * share.sum(1 - axis)).sum() for axis, n in enumerate(share.shape)]
        np.testing.assert_allclose((made.affine.numpy() @ [*cell, 0, 1])[:2], middle, atol=1e-4)


class TestOutsideOfWhatWasSeen:
    """What the network never saw is zero, what it saw reaches to its edge."""

    def test_a_map_is_zero_where_the_image_was_cropped(self) -> None:
        image = blob((24, 20), np.eye(4), (4.0, 10.0, 0.0))
        prepared = mt.SpatialCrop(roi_start=(6, 5), roi_end=(18, 15))(image)
        found = to_input(heatmap(Bright(2), prepared * 0 + 1, 0, "gradcam"), image)[..., 0]
        seen = np.zeros((24, 20), bool)
        seen[6:18, 5:15] = True
        assert np.array_equal(found > 0, seen)

    def test_a_slice_lies_in_its_plane_of_the_volume(self) -> None:
        volume = blob((12, 12, 5), np.diag([1.0, 1.0, 3.0, 1.0]), (6.0, 6.0, 9.0))
        place = volume.affine.clone()
        place[:3, 3] += 3 * place[:3, 2]
        picture = MetaTensor(volume.as_tensor()[..., 3], affine=place)
        found = to_input(heatmap(Bright(2), picture, 0, "gradcam"), volume)
        assert np.flatnonzero(found.max((0, 1))).tolist() == [3]

    def test_a_lost_place_is_told(self) -> None:
        picture = MetaTensor(torch.rand(1, 12, 12), affine=torch.diag(torch.tensor([0.0, 1.0, 1.0, 1.0])))
        with pytest.raises(BundleError, match="loses where the image lies"):
            to_input(heatmap(Bright(2), picture, 0, "gradcam"), blob((12, 12), np.eye(4), (0, 0, 0)))
