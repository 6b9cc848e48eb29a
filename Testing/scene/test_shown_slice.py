"""A slice as a view shows it becomes a picture that lies where the view says."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from Testing.grids import AXIS_CODES, affine
from Testing.scene.nodes import add_volume, set_parent

CENTER = np.array([12.0, -7.0, 30.0])
# To the right and down in each view, RAS: from the feet, from the front, from the patient's left.
SIDES = {"Axial": ((-1, 0, 0), (0, -1, 0)), "Coronal": ((-1, 0, 0), (0, 0, -1)), "Sagittal": ((0, -1, 0), (0, 0, -1))}


@pytest.fixture
def view(mrml):
    """A slice view, 400 × 400 mm, that can be had by its name, Tested."""
    import slicer

    node = slicer.vtkMRMLSliceNode()
    node.SetSingletonTag("Tested")
    node.SetLayoutName("Tested")
    node = mrml.AddNode(node)
    node.SetFieldOfView(400, 400, 1)
    yield node
    mrml.RemoveNode(node)


def add_ramp(code: str, *, rotation: tuple[float, float, float] = (0, 0, 0)):
    """Add a volume around CENTER whose value at each voxel is x + 2y + 3z of its RAS mm; returns the node."""
    shape, grid = (20, 24, 16), affine(code, (1.0, 1.5, 2.0), rotation=rotation)
    grid[:3, 3] = CENTER - grid[:3, :3] @ ((np.array(shape) - 1) / 2)
    world = np.einsum("ab,bijk->aijk", grid[:3, :3], np.indices(shape)) + grid[:3, 3].reshape(3, 1, 1, 1)
    return add_volume(np.tensordot([1.0, 2.0, 3.0], world, 1), grid)


def world_of(image) -> np.ndarray:
    """Return (3, I, J) RAS mm of the pixels of a picture."""
    i, j = np.indices(image.shape[1:])
    return np.einsum("ab,bij->aij", np.asarray(image.affine)[:3], np.stack([i, j, 0 * i, 0 * i + 1]))


def aim(view, orientation: str, center=CENTER) -> None:
    across, down = np.array(SIDES[orientation])
    columns = np.stack([across, -down, np.abs(np.cross(across, down)), center], axis=1)
    for (row, column), value in np.ndenumerate(columns):
        view.GetSliceToRAS().SetElement(row, column, value)
    view.UpdateMatrices()


class TestPlace:
    @pytest.mark.parametrize("orientation", SIDES)
    @pytest.mark.parametrize("code", AXIS_CODES[::7])
    def test_each_pixel_has_the_value_of_its_place(self, mrml, view, code, orientation) -> None:
        volume = add_ramp(code)
        aim(view, orientation)
        image = scene.shown_slice(volume, view)
        np.testing.assert_allclose(image.numpy()[0], np.tensordot([1, 2, 3], world_of(image), 1), atol=1e-3)
        across, down = SIDES[orientation]
        np.testing.assert_allclose(np.asarray(image.affine)[:3, 0] @ across, np.linalg.norm(image.affine[:3, 0]))
        np.testing.assert_allclose(np.asarray(image.affine)[:3, 1] @ down, np.linalg.norm(image.affine[:3, 1]))
        assert np.linalg.det(np.asarray(image.affine)) > 0

    def test_pixels_are_the_voxels_where_the_plane_is_parallel(self, mrml, view, blob) -> None:
        volume = add_volume(blob, affine("LPS", (0.8, 1.1, 3.0), (5, -7, 9)))
        aim(view, "Axial", (0, 0, 9 + 3 * 5))
        np.testing.assert_array_equal(scene.shown_slice(volume, view).numpy()[0], blob[:, :, 5])
        aim(view, "Axial", (0, 0, 9 + 3 * 5.5))
        np.testing.assert_allclose(scene.shown_slice(volume, view).numpy()[0], blob[:, :, 5:7].mean(axis=2), atol=1e-3)

    def test_an_oblique_volume_under_a_transform_is_cut_where_it_stands(self, mrml, view) -> None:
        volume = add_ramp("PIR", rotation=(10, 20, 30))
        shift = np.array([40.0, 5.0, -12.0])
        set_parent(volume, affine("RAS", origin=shift))
        aim(view, "Coronal", CENTER + shift)
        image = scene.shown_slice(volume, view)
        world = world_of(image)
        from_world = np.linalg.inv(scene.voxels(volume).affine)
        places = np.einsum("ab,bij->aij", from_world[:3, :3], world) + from_world[:3, 3].reshape(3, 1, 1)
        inside = np.all((places >= 0) & (places <= np.reshape([19, 23, 15], (3, 1, 1))), axis=0)
        assert inside.mean() > 0.4
        expected = np.tensordot([1, 2, 3], world - shift.reshape(3, 1, 1), 1)
        np.testing.assert_allclose(image.numpy()[0][inside], expected[inside], atol=1e-2)

    def test_it_ends_where_the_field_of_view_does(self, mrml, view) -> None:
        volume = add_ramp("LPS")
        view.SetFieldOfView(10, 9, 1)
        aim(view, "Axial")
        image = scene.shown_slice(volume, view)
        assert image.shape == (1, 10, 6)
        np.testing.assert_allclose(world_of(image).mean(axis=(1, 2)), CENTER, atol=0.8)

    def test_a_dragged_view_shows_what_it_was_dragged_to(self, mrml, view) -> None:
        volume = add_ramp("LPS")
        view.SetFieldOfView(6, 6, 1)
        aim(view, "Axial")
        view.SetXYZOrigin(4, 8, 0)  # to the right, which is the patient's left, and to the front
        middle = world_of(scene.shown_slice(volume, view)).mean(axis=(1, 2))
        np.testing.assert_allclose(middle, CENTER + [-4, 8, 0], atol=0.8)
        corner = np.zeros(4)
        view.GetXYToRAS().MultiplyPoint([*np.divide(view.GetDimensions()[:2], 2), 0, 1], corner)
        np.testing.assert_allclose(middle, corner[:3], atol=0.8)


class TestKinds:
    def test_colours_stay_three_channels(self, mrml, view) -> None:
        import slicer

        colours = np.random.default_rng(0).integers(0, 256, (1, 6, 8, 3)).astype(np.uint8)
        node = slicer.util.addVolumeFromArray(colours, affine("LPS"), nodeClassName="vtkMRMLVectorVolumeNode")
        aim(view, "Axial", (0, 0, 0.3))
        np.testing.assert_array_equal(scene.shown_slice(node, view).numpy(), colours[0].transpose(2, 1, 0))

    def test_labels_are_not_mixed(self, mrml, view) -> None:
        import slicer

        labels = np.zeros((2, 6, 8), np.uint8)
        labels[1] = 4
        node = slicer.util.addVolumeFromArray(labels, affine("LPS"), nodeClassName="vtkMRMLLabelMapVolumeNode")
        aim(view, "Axial", (0, 0, 0.6))
        assert np.unique(scene.shown_slice(node, view).numpy()).tolist() == [4]

    def test_a_view_can_be_named(self, mrml, view) -> None:
        volume = add_ramp("LPS")
        aim(view, "Axial")
        np.testing.assert_array_equal(
            scene.shown_slice(volume, "Tested").numpy(), scene.shown_slice(volume, view).numpy()
        )


class TestRefusals:
    def test_a_plane_beside_the_volume(self, mrml, view) -> None:
        volume = add_ramp("LPS")
        aim(view, "Axial", CENTER + [0, 0, 100])
        with pytest.raises(InputError, match="shows nothing of the volume"):
            scene.shown_slice(volume, view)

    def test_a_field_of_view_beside_the_volume(self, mrml, view) -> None:
        volume = add_ramp("LPS")
        view.SetFieldOfView(10, 10, 1)
        aim(view, "Axial", CENTER + [100, 0, 0])
        with pytest.raises(InputError, match="shows nothing of the volume"):
            scene.shown_slice(volume, view)

    def test_a_view_that_is_not_there(self, volume) -> None:
        with pytest.raises(InputError, match="no slice view 'Purple'"):
            scene.shown_slice(volume, "Purple")
