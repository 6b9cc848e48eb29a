"""A segmentation node goes to files, and they say what the views show."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from DeepImagingLib import files, scene
from DeepImagingLib.errors import InputError, OutputError
from DeepImagingLib.results import Segmentation
from Testing.grids import affine, positions
from Testing.scene.nodes import GRID, nodes_in, segment_masks, set_parent

PARENT = affine("RAS", origin=(50, -20, 7), rotation=(10, -20, 30))
PLACES_MM = 1e-3
ENDINGS = [".seg.nrrd", ".nii.gz", ".nrrd", ".stl", ".obj"]
FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from DeepImagingLib import scene
from DeepImagingLib.errors import OutputError
from DeepImagingLib.results import Segment, Segmentation
scene.host()
import slicer
volume = slicer.util.addVolumeFromArray(np.zeros((12, 12, 12), np.int16))
masks = np.random.default_rng(0).integers(0, 2, (1, 12, 12, 12)).astype(np.uint8)
result = Segmentation(masks, np.eye(4), (Segment("a", "A", 0, 1, (1.0, 0.0, 0.0)),))
node = scene.show(result, volume, surface=False)
path = Path(sys.argv[1])
size = scene.export_segmentation(node, path)[0].stat().st_size
older = {file.name: file.read_bytes() for file in path.parent.iterdir()}
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
for room in (size - 1, size - 9, size // 2, 4):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limit[1]))
    try:
        scene.export_segmentation(node, path)
    except OutputError:
        print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    now = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert now == older, {name: len(content) for name, content in now.items()}
"""


@pytest.fixture
def exclusive(overlapping) -> Segmentation:
    """One layer; its values are no 1, 2, 3 …"""
    return replace(overlapping, layers=overlapping.layers[:1], segments=overlapping.segments[::2], exclusive=True)


@pytest.fixture
def moved(volume, exclusive):
    """A segmentation under a transform, with its truth in the world."""
    set_parent(volume, PARENT)
    truth = replace(exclusive, affine=PARENT @ GRID)
    return scene.show(truth, volume, surface=False), truth


class TestLabelmaps:
    @pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
    def test_keep_label_values_and_geometry(self, mrml, volume, exclusive, tmp_path, ending) -> None:
        node = scene.show(exclusive, volume, surface=False)
        before = nodes_in(mrml)
        path = tmp_path / f"labels{ending}"
        assert scene.export_segmentation(node, path) == [path]
        assert nodes_in(mrml) == before
        image = files.read(path)
        for segment in exclusive.segments:
            places = positions(image.numpy()[0] == segment.value, np.asarray(image.affine))
            np.testing.assert_allclose(places, positions(exclusive.mask(segment), GRID), atol=PLACES_MM)
        assert set(np.unique(image)) == {0, 1, 3}

    def test_are_nifti_by_content_too(self, volume, exclusive, tmp_path) -> None:
        scene.export_segmentation(scene.show(exclusive, volume, surface=False), tmp_path / "a.nii.gz")
        assert nibabel.load(tmp_path / "a.nii.gz").shape == exclusive.layers.shape[1:]

    def test_lie_in_the_world_under_a_transform(self, moved, tmp_path) -> None:
        node, truth = moved
        scene.export_segmentation(node, tmp_path / "a.nii.gz")
        image = files.read(tmp_path / "a.nii.gz")
        found = positions(image.numpy()[0] == 3, np.asarray(image.affine))
        np.testing.assert_allclose(found, positions(truth.mask("left_kidney"), truth.affine), atol=PLACES_MM)

    @pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
    def test_lie_right_where_the_geometry_starts_elsewhere(self, volume, exclusive, tmp_path, ending) -> None:
        import slicer

        node = scene.show(exclusive, volume, surface=False)
        geometry = slicer.vtkOrientedImageData()
        start = np.array([-2, -3, -4])
        geometry.SetExtent(*np.stack([start, exclusive.layers.shape[1:]], 1).ravel().tolist())
        geometry.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(GRID))
        text = slicer.vtkSegmentationConverter.SerializeImageGeometry(geometry)
        name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
        node.GetSegmentation().SetConversionParameter(name, text)
        scene.export_segmentation(node, tmp_path / f"a{ending}")
        image = files.read(tmp_path / f"a{ending}")
        found = positions(image.numpy()[0] == 1, np.asarray(image.affine))
        np.testing.assert_allclose(found, positions(exclusive.mask("liver"), GRID), atol=PLACES_MM)

    def test_of_overlapping_segments_are_a_mask_each(self, volume, overlapping, tmp_path) -> None:
        node = scene.show(overlapping, volume, surface=False)
        written = scene.export_segmentation(node, tmp_path / "a.nii.gz")
        assert [path.name for path in written] == ["a_liver.nii.gz", "a_core.nii.gz", "a_left_kidney.nii.gz"]
        assert sorted(tmp_path.iterdir()) == sorted(written)
        for path, segment in zip(written, overlapping.segments):
            image = files.read(path)
            places = positions(image.numpy()[0] == 1, np.asarray(image.affine))
            np.testing.assert_allclose(places, positions(overlapping.mask(segment), GRID), atol=PLACES_MM)


class TestSegNrrd:
    def test_keeps_all_that_slicer_knows(self, mrml, volume, overlapping, tmp_path) -> None:
        import slicer

        node = scene.show(overlapping, volume, surface=False)
        before = nodes_in(mrml)
        scene.export_segmentation(node, tmp_path / "a.seg.nrrd")
        assert nodes_in(mrml) == before
        assert node.GetStorageNode() is None
        loaded = slicer.util.loadSegmentation(str(tmp_path / "a.seg.nrrd"))
        for segment_id in ("liver", "core", "left_kidney"):
            ours, theirs = (n.GetSegmentation().GetSegment(segment_id) for n in (node, loaded))
            assert theirs.GetName() == ours.GetName()
            assert theirs.GetColor() == pytest.approx(ours.GetColor(), abs=1e-5)
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, segment_id, volume)
            np.testing.assert_array_equal(mask.T, overlapping.mask(segment_id))

    def test_lies_in_the_world_under_a_transform(self, moved, tmp_path) -> None:
        import slicer

        node, truth = moved
        scene.export_segmentation(node, tmp_path / "a.seg.nrrd")
        mask, ijk_to_ras = segment_masks(slicer.util.loadSegmentation(str(tmp_path / "a.seg.nrrd")))["liver"]
        expected = positions(truth.mask("liver"), truth.affine)
        np.testing.assert_allclose(positions(mask, ijk_to_ras), expected, atol=PLACES_MM)
        np.testing.assert_allclose(segment_masks(node)["liver"][1], truth.affine)


class TestMeshes:
    @pytest.mark.parametrize("ready", [True, False])
    def test_stl_is_one_file_a_segment_in_the_world(self, moved, tmp_path, ready) -> None:
        import slicer

        node, truth = moved
        if ready:
            node.CreateClosedSurfaceRepresentation()
        written = scene.export_segmentation(node, tmp_path / "bödy.stl")
        assert [path.name for path in written] == ["bödy_liver.stl", "bödy_left_kidney.stl"]
        for path, segment in zip(written, truth.segments):
            model = slicer.util.loadModel(str(path))
            places = positions(truth.mask(segment), truth.affine)
            bounds = np.reshape(model.GetMesh().GetBounds(), (3, 2))
            np.testing.assert_allclose(bounds, np.stack([places.min(0), places.max(0)], 1), atol=2.0)

    def test_one_segment_has_the_name_asked_for(self, volume, exclusive, tmp_path) -> None:
        node = scene.show(replace(exclusive, segments=exclusive.segments[:1]), volume, surface=False)
        assert scene.export_segmentation(node, tmp_path / "liver.stl") == [tmp_path / "liver.stl"]
        assert (tmp_path / "liver.stl").read_bytes()[:80].startswith(b"DeepImaging output. SPACE=LPS")

    def test_obj_holds_all_segments_with_their_colours(self, volume, overlapping, tmp_path) -> None:
        node = scene.show(overlapping, volume, surface=False)
        written = scene.export_segmentation(node, tmp_path / "body.v2.obj")
        assert [path.name for path in written] == ["body.v2.obj", "body.v2.mtl"]
        text = (tmp_path / "body.v2.obj").read_text()
        assert "mtllib body.v2.mtl" in text
        assert "SPACE=LPS" in text
        materials = (tmp_path / "body.v2.mtl").read_text()
        assert materials.count("newmtl") == 3
        colors = np.array([line.split()[1:] for line in materials.splitlines() if line.startswith("Kd")], float)
        np.testing.assert_allclose(colors, [segment.color for segment in overlapping.segments], atol=1e-3)
        vertices = np.array([line.split()[1:4] for line in text.splitlines() if line.startswith("v ")], float)
        places = np.concatenate([positions(overlapping.mask(s), GRID) for s in overlapping.segments]) * [-1, -1, 1]
        np.testing.assert_allclose(vertices.min(0), places.min(0), atol=2.0)
        np.testing.assert_allclose(vertices.max(0), places.max(0), atol=2.0)

    def test_obj_is_the_surface_that_slicer_has(self, volume, overlapping, tmp_path) -> None:
        import slicer
        import vtk

        node = scene.show(overlapping, volume, surface=False)
        node.CreateClosedSurfaceRepresentation()
        scene.export_segmentation(node, tmp_path / "a.obj")
        ids = node.GetSegmentation().GetSegmentIDs()
        shown = [node.GetSegmentation().GetSegment(i).GetRepresentation("Closed surface") for i in ids]
        mesh = slicer.util.loadModel(str(tmp_path / "a.obj")).GetMesh()  # its header says LPS
        assert mesh.GetNumberOfPolys() == sum(surface.GetNumberOfPolys() for surface in shown)
        both = vtk.vtkAppendPolyData()
        for surface in shown:
            both.AddInputData(surface)
        both.Update()
        np.testing.assert_allclose(mesh.GetBounds(), both.GetOutput().GetBounds(), atol=1e-3)
        for found, expected in zip(*(self.volume_and_area(m) for m in (mesh, both.GetOutput())), strict=True):
            assert found == pytest.approx(expected, rel=1e-4)

    @staticmethod
    def volume_and_area(mesh) -> tuple[float, float]:
        """Of triangles, which tell whether corners and their order are right."""
        import vtk

        triangles, properties = vtk.vtkTriangleFilter(), vtk.vtkMassProperties()
        triangles.SetInputData(mesh)
        properties.SetInputConnection(triangles.GetOutputPort())
        return properties.GetVolume(), properties.GetSurfaceArea()


class TestNames:
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_an_ending_in_capitals_is_written_small(self, volume, exclusive, tmp_path, ending) -> None:
        node = scene.show(replace(exclusive, segments=exclusive.segments[:1]), volume, surface=False)
        written = scene.export_segmentation(node, tmp_path / f"Body{ending.upper()}")
        assert written[0] == tmp_path / f"Body{ending}"
        assert sorted(tmp_path.iterdir()) == sorted(written)

    @pytest.mark.parametrize("name", [*ENDINGS, ".OBJ"])
    def test_an_ending_alone_is_no_name(self, volume, exclusive, tmp_path, name) -> None:
        node = scene.show(exclusive, volume, surface=False)
        with pytest.raises(InputError, match="without a name"):
            scene.export_segmentation(node, tmp_path / name)


class TestRefusals:
    def test_another_ending_is_named_with_those_there_are(self, volume, exclusive, tmp_path) -> None:
        node = scene.show(exclusive, volume, surface=False)
        with pytest.raises(InputError, match=r"'a\.dcm'.*\.seg\.nrrd, \.nii\.gz, \.nrrd, \.stl, \.obj"):
            scene.export_segmentation(node, tmp_path / "a.dcm")

    @pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz", ".stl"])
    def test_no_segments_are_told(self, mrml, tmp_path, ending) -> None:
        node = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode")
        with pytest.raises(InputError, match="no segments"):
            scene.export_segmentation(node, tmp_path / f"a{ending}")

    @pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
    def test_segments_that_nobody_drew_are_told(self, mrml, tmp_path, ending) -> None:
        node = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.GetSegmentation().AddEmptySegment("mine")
        with pytest.raises(InputError, match="neither voxels nor"):
            scene.export_segmentation(node, tmp_path / f"a{ending}")

    @pytest.mark.parametrize("ending", [".stl", ".obj"])
    def test_segments_without_a_voxel_have_no_mesh(self, volume, exclusive, tmp_path, ending) -> None:
        node = scene.show(replace(exclusive, layers=exclusive.layers * 0), volume, surface=False)
        with pytest.raises(InputError, match="No segment has a voxel"):
            scene.export_segmentation(node, tmp_path / f"a{ending}")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(sys.platform == "win32", reason="this system sets no limit to a file")
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_full_disk_is_told_and_the_older_file_stays(self, mrml, tmp_path, ending) -> None:
        command = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / f"a{ending}")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("refused") == 4

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_an_older_file_stays_where_writing_fails(self, volume, exclusive, tmp_path, ending, monkeypatch) -> None:
        from DeepImagingLib.scene import saving

        node = scene.show(exclusive, volume, surface=False)
        older = tmp_path / f"a{ending}"
        older.write_text("older")

        def fail(*_) -> list[Path]:
            raise OutputError("no space")

        real = saving.WRITERS[ending]
        monkeypatch.setitem(saving.WRITERS, ending, lambda *a: (real(*a), fail())[1])
        with pytest.raises(OutputError, match="no space"):
            scene.export_segmentation(node, older)
        assert older.read_text() == "older"
        assert list(tmp_path.iterdir()) == [older]
