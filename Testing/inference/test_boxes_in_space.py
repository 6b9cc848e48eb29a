"""A bright ball at a known place is boxed there, however the voxels lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DeepImagingLib import Options, load_bundle, run
from Testing.bundles.make_detectors import RADIUS, ball, write_brightness_detector
from Testing.grids import AXIS_CODES, affine

CENTER = np.array([31.3, -12.4, 105.7])
SPACING = (2.0, 2.5, 3.0)
GRIDS = {code: {"code": code} for code in AXIS_CODES} | {
    "oblique": {"code": "LPS", "rotation": (20.0, -35.0, 50.0)},
    "oblique, other axes": {"code": "SAR", "rotation": (-15.0, 10.0, 70.0)},
    "isotropic": {"code": "PIR", "spacing": (2.0, 2.0, 2.0)},
    "thick slices": {"code": "LPI", "spacing": (1.0, 1.0, 4.0)},
}


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The bundle, and what gives its pipeline, built once."""
    bundle = load_bundle(write_brightness_detector(tmp_path_factory.mktemp("bright") / "bundle"))
    pipeline = bundle.build()
    return bundle, lambda bundle, device: pipeline


def grid(code: str, spacing: tuple[float, ...] = SPACING, rotation: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Any:
    """Return shape and IJK→RAS of a grid round the ball, whose middle is some way off."""
    shape = np.array([round(28 / s) for s in spacing])
    matrix = affine(code, spacing, (0, 0, 0), rotation)
    matrix[:3, 3] = CENTER + [3.1, -2.2, 1.3] - matrix[:3, :3] @ (shape - 1) / 2
    return tuple(shape), matrix


def errors(detector: tuple[Any, Any], shape: tuple[int, ...], matrix: np.ndarray, **options: Any) -> np.ndarray:
    """Return how far the faces (6,) of the first box are off those of the ball, in voxels."""
    bundle, build = detector
    image = ball(shape, matrix, CENTER)
    found = run(bundle, image, Options(device="cpu", precision="full", **options), build=build)
    box = found.boxes[0]
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    middle = (np.linalg.inv(matrix) @ [*CENTER, 1])[:3]
    np.testing.assert_allclose(box.center, (matrix @ [*np.reshape(box.index_box, (2, 3)).mean(0), 1])[:3], atol=1e-9)
    np.testing.assert_allclose(box.size, np.diff(np.reshape(box.index_box, (2, 3)), axis=0)[0] * spacing, atol=1e-9)
    np.testing.assert_allclose(box.axes, matrix[:3, :3] / spacing, atol=1e-9)
    return np.abs(np.array(box.index_box) - [*(middle - RADIUS / spacing), *(middle + RADIUS / spacing)])


@pytest.mark.parametrize("name", GRIDS)
def test_a_ball_is_boxed_within_half_a_voxel(detector: tuple[Any, Any], name: str) -> None:
    assert errors(detector, *grid(**GRIDS[name])).max() < 0.5


def test_a_ball_is_boxed_where_it_is_in_a_region_of_the_scan(detector: tuple[Any, Any]) -> None:
    shape, matrix = grid("LPS")
    roi = tuple((1, n) for n in shape)
    assert errors(detector, shape, matrix, roi=roi).max() < 0.5


def test_a_ball_in_a_slab_is_boxed_where_it_is(tmp_path: Path) -> None:
    """Windows pad the slab to twelve times its thickness, by no whole stride of the coarser level."""
    folder = write_brightness_detector(tmp_path / "bundle")
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text())
    config |= {"infer_patch_size": [48] * 3, "size_divisible": [4] * 3, "force_sliding_window": True}
    path.write_text(json.dumps(config))
    bundle = load_bundle(folder)
    pipeline = bundle.build()
    matrix = affine("LPS", (2.0, 2.0, 1.0), (0, 0, 0))
    matrix[:3, 3] = CENTER + [0.3, -0.2, 0] - matrix[:3, :3] @ [17, 17, 0.5]  # the ball in the middle of a window
    off = errors((bundle, lambda *_: pipeline), (33, 33, 2), matrix)
    assert off[[0, 1, 3, 4]].max() < 0.5
    np.testing.assert_allclose(off[[2, 5]], RADIUS - 1, atol=0.5)  # the box ends where the slab does
