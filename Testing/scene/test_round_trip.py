"""Node → image → mask → node → file → node: no voxel moves, whatever the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from DeepImagingLib import scene
from DeepImagingLib.files import write_seg_nrrd
from DeepImagingLib.results import Segment, Segmentation
from Testing.grids import AXIS_CODES, affine, positions
from Testing.scene.nodes import add_volume, segment_masks, set_parent

WORLD_TOLERANCE_MM = 1e-3
THRESHOLD = 0


def identity_result(image) -> Segmentation:
    """Return the voxels above the threshold as one segment, in the geometry of the image."""
    mask = np.nan_to_num(image.numpy()[0]) > THRESHOLD
    segment = Segment("bright", "Bright", 0, 1, (1.0, 0.0, 0.0))
    return Segmentation(mask[None].astype(np.uint8), np.asarray(image.affine), (segment,))


def assert_same_places(node, expected: np.ndarray) -> None:
    mask, ijk_to_ras = segment_masks(node)["bright"]
    found = positions(mask, ijk_to_ras)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=WORLD_TOLERANCE_MM)


def walk(volume, truth: np.ndarray, ijk_to_world: np.ndarray, folder) -> None:
    """Go the whole way and compare in RAS at each stop."""
    import slicer

    expected = positions(truth, ijk_to_world)
    image = scene.read(volume)
    np.testing.assert_allclose(np.asarray(image.affine), ijk_to_world, atol=1e-6)
    result = identity_result(image)
    np.testing.assert_array_equal(result.mask("bright"), truth)
    shown = scene.show(result, volume, surface=False)
    assert_same_places(shown, expected)
    slicer.util.saveNode(shown, str(folder / "node.seg.nrrd"))
    parent = shown.GetParentTransformNode()
    loaded = slicer.util.loadSegmentation(str(folder / "node.seg.nrrd"))
    loaded.SetAndObserveTransformNodeID(parent.GetID() if parent else None)
    assert_same_places(loaded, expected)
    write_seg_nrrd(result, folder / "file.seg.nrrd")
    assert_same_places(slicer.util.loadSegmentation(str(folder / "file.seg.nrrd")), expected)


@pytest.mark.parametrize("code", AXIS_CODES)
def test_no_voxel_moves_in_any_axis_order(mrml, blob, tmp_path, code) -> None:
    grid = affine(code, (0.7, 1.3, 4.0), (11.0, -37.0, 5.5))
    walk(add_volume(blob, grid), blob > THRESHOLD, grid, tmp_path)


@pytest.mark.parametrize("code", ["RAS", "LPS", "LAS", "IPR", "SAL"])
def test_no_voxel_moves_when_the_grid_is_oblique_and_transformed(mrml, blob, tmp_path, code) -> None:
    grid = affine(code, (0.5, 2.0, 10.0), (3.0, 2.0, 1.0), rotation=(20, -35, 50))
    parent = affine("RAS", origin=(100, 20, -30), rotation=(5, 10, 15))
    volume = add_volume(blob, grid)
    set_parent(volume, parent)
    walk(volume, blob > THRESHOLD, parent @ grid, tmp_path)


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize("code", ["RAS", "LAS", "PIR", "AIR"])
def test_a_volume_that_went_through_a_file_lies_where_it_was(mrml, blob, tmp_path, code, ending) -> None:
    import slicer

    from DeepImagingLib import files

    grid = affine(code, (0.8, 1.1, 3.0), (-40, 10, 200), rotation=(0, 12, 7))
    slicer.util.saveNode(add_volume(blob, grid), str(tmp_path / f"scan{ending}"))
    expected = positions(blob > THRESHOLD, grid)
    through_scene = scene.read(slicer.util.loadVolume(str(tmp_path / f"scan{ending}")))
    through_files = files.read(tmp_path / f"scan{ending}")
    for image in (through_scene, through_files):
        places = positions(image.numpy()[0] > THRESHOLD, np.asarray(image.affine))
        np.testing.assert_allclose(places, expected, atol=WORLD_TOLERANCE_MM)


spacings = st.tuples(*[st.floats(0.5, 10.0)] * 3)
shapes = st.tuples(st.integers(2, 7), st.integers(2, 7), st.integers(1, 7))
angles = st.tuples(*[st.floats(-180, 180)] * 3)


@given(
    code=st.sampled_from(AXIS_CODES),
    spacing=spacings,
    shape=shapes,
    rotation=angles,
    dtype=st.sampled_from([np.int16, np.uint8, np.float32]),
    nans=st.booleans(),
    seed=st.integers(0, 99),
)
@example(
    code="LAS", spacing=(0.5, 0.5, 10.0), shape=(6, 5, 1), rotation=(0.0, 0.0, 0.0), dtype=np.float32, nans=True, seed=0
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_voxel_moves_for_any_grid_and_type(
    mrml, tmp_path, code, spacing, shape, rotation, dtype, nans, seed
) -> None:
    rng = np.random.default_rng(seed)
    array = (rng.integers(0, 2, shape) * 100).astype(dtype)
    array.flat[0] = 100  # a segment with nothing in it has no place to compare
    if nans and dtype == np.float32:
        array[array == 0] = np.nan
    grid = affine(code, spacing, (5.0, -7.0, 9.0), rotation)
    walk(add_volume(array, grid), np.nan_to_num(array) > THRESHOLD, grid, tmp_path)
