"""A volume node's own memory, and whether it is still the same at the end of a run."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from DeepImagingLib import files, scene
from DeepImagingLib.errors import InputError
from Testing.grids import affine
from Testing.scene.nodes import add_volume, set_parent

GRID = affine("LPI", (0.8, 1.1, 3.0), (5, -7, 9), rotation=(3, 5, -8))


@pytest.fixture
def volume(mrml, blob):
    return add_volume(blob, GRID)


class TestVoxels:
    @pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
    def test_are_the_nodes_own_memory_in_its_own_type(self, mrml, blob, dtype) -> None:
        import slicer

        volume = add_volume(blob.astype(dtype), GRID)
        array = scene.voxels(volume).array
        theirs = slicer.util.arrayFromVolume(volume)
        assert array.dtype == dtype
        assert np.shares_memory(array, theirs)
        np.testing.assert_array_equal(array, theirs)

    def test_cannot_be_written_to(self, volume) -> None:
        with pytest.raises(ValueError, match="read-only"):
            scene.voxels(volume).array[0, 0, 0] = 1

    def test_have_the_geometry_of_the_world(self, volume) -> None:
        parent = affine("RAS", origin=(100, 20, -30), rotation=(5, 10, 15))
        set_parent(volume, parent)
        np.testing.assert_allclose(scene.voxels(volume).affine, parent @ GRID)

    def test_several_components_come_last(self, mrml) -> None:
        import slicer

        colors = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)
        node = slicer.util.addVolumeFromArray(colors, nodeClassName="vtkMRMLVectorVolumeNode")
        np.testing.assert_array_equal(scene.voxels(node).array, colors)
        np.testing.assert_array_equal(scene.read(node).numpy(), colors.transpose(3, 2, 1, 0))

    @pytest.mark.parametrize("channels", [1, 3])
    def test_of_a_picture_are_those_of_its_file(self, mrml, tmp_path, channels) -> None:
        import slicer

        pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3)[: 2 + channels // 3], np.uint8)
        Image.fromarray(pixels).save(tmp_path / "x.png")
        kind = "vtkMRMLVectorVolumeNode" if channels == 3 else "vtkMRMLScalarVolumeNode"
        node = slicer.util.addVolumeFromArray(pixels[None], np.diag([-1, -1, 1, 1]), nodeClassName=kind)
        shown, filed = scene.read(node), files.read(tmp_path / "x.png")
        np.testing.assert_array_equal(shown.numpy()[..., 0], filed.numpy())
        np.testing.assert_array_equal(np.asarray(shown.affine), np.asarray(filed.affine))

    @pytest.mark.parametrize("shape", [(5, 6, 7), (1, 1, 9), (1, 1, 1)])
    def test_an_image_of_them_is_a_copy(self, mrml, shape) -> None:
        volume = add_volume(np.ones(shape, np.float32), GRID)
        image = scene.read(volume)
        image[:] = 7
        assert scene.voxels(volume).array.max() == 1

    def test_need_no_torch(self) -> None:
        code = (
            "import sys; from DeepImagingLib import scene; scene.host(); import slicer, numpy as np;"
            "v = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.int16));"
            "assert scene.voxels(v).array.shape == (2, 3, 4); scene.changed_since(scene.state_of(v), v);"
            "print([m for m in ('torch', 'monai') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip().splitlines()[-1] == "[]"


class TestState:
    def test_looking_at_a_volume_changes_nothing(self, mrml, volume) -> None:
        import slicer

        state = scene.state_of(volume)
        volume.CreateDefaultDisplayNodes()
        volume.GetDisplayNode().SetAutoWindowLevel(True)
        volume.GetImageData().GetScalarRange()
        volume.SetName("renamed")
        slicer.util.arrayFromVolume(volume)
        scene.read(volume)
        assert scene.changed_since(state, volume) == ""

    def test_a_deleted_volume_is_told(self, mrml, volume) -> None:
        state = scene.state_of(volume)
        mrml.RemoveNode(volume)
        assert "deleted" in scene.changed_since(state, volume)
        assert "deleted" in scene.changed_since(state, None)

    def test_changed_voxels_are_told(self, volume) -> None:
        import slicer

        state = scene.state_of(volume)
        slicer.util.arrayFromVolume(volume)[3, 4, 5] += 1
        slicer.util.arrayFromVolumeModified(volume)
        assert "voxels of the input volume were changed" in scene.changed_since(state, volume)

    def test_other_voxels_are_told(self, volume, blob) -> None:
        import slicer

        state = scene.state_of(volume)
        slicer.util.updateVolumeFromArray(volume, np.zeros(blob.T.shape, np.int16))
        assert "voxels of the input volume were changed" in scene.changed_since(state, volume)

    def test_another_size_is_told(self, volume) -> None:
        import slicer

        state = scene.state_of(volume)
        slicer.util.updateVolumeFromArray(volume, np.zeros((3, 4, 5), np.int16))
        assert "another size" in scene.changed_since(state, volume)

    def test_another_place_is_told_and_a_transform_that_does_nothing_is_not(self, volume) -> None:
        state = scene.state_of(volume)
        set_parent(volume, np.eye(4))
        assert scene.changed_since(state, volume) == ""
        set_parent(volume, affine(origin=(0, 0, 1)))
        assert "moved" in scene.changed_since(state, volume)

    def test_voxels_taken_away_are_told(self, volume) -> None:
        state = scene.state_of(volume)
        volume.SetAndObserveImageData(None)
        assert "no voxels" in scene.changed_since(state, volume)

    def test_a_volume_without_voxels_has_no_state(self, mrml) -> None:
        with pytest.raises(InputError, match="no voxels"):
            scene.state_of(mrml.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
