"""Groups of labels and hidden segments, from a bundle's metadata to every kind of output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from matplotlib.pyplot import imread
from monai.data import MetaTensor

from DeepImagingLib import Options, run
from DeepImagingLib.errors import InputError
from DeepImagingLib.files import as_image, write_json, write_nifti, write_seg_nrrd
from DeepImagingLib.results import Segmentation
from DeepImagingLib.tasks.measures import measure
from Testing.bundles import make_bundles as make
from Testing.grids import affine

GRID = affine("LPS", (2.0, 2.0, 2.5), (40, 30, 20))
GROUPS = {"heart": ["lv_pool", "myocardium", "rv_pool"], "pools": ["lv_pool", "rv_pool"], "muscle": ["myocardium"]}
HIDDEN = ["rv_pool", "heart", "pools"]
SHOWN = ["lv_pool", "myocardium", "muscle"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write_slicewise_like(tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make.write_slicewise_like(tmp_path_factory.mktemp("models") / "grouped")
    return make.change_metadata(made, groups=GROUPS, hidden=HIDDEN)


@pytest.fixture(scope="module")
def image() -> MetaTensor:
    rng = np.random.default_rng(0)
    return as_image(rng.normal(0, 100, (1, 36, 32, 6)), GRID)


@pytest.fixture(scope="module")
def result(bundle: Path, image: MetaTensor) -> Segmentation:
    return run(bundle, image)


def unions(result: Segmentation, groups: Mapping[str, list[str]] = GROUPS) -> dict[str, np.ndarray]:
    return {name: np.any([result.mask(label) for label in labels], axis=0) for name, labels in groups.items()}


class TestRuns:
    def test_give_unions_behind_the_labels_of_a_run_without_groups(self, plain, image, result) -> None:
        np.testing.assert_array_equal(result.layers[:1], run(plain, image).layers)
        places = {s.name: (s.layer, s.value) for s in result.groups}
        assert places == {"heart": (1, 1), "pools": (2, 1), "muscle": (2, 2)}
        assert [s.value for s in result.segments[:3]] == [1, 2, 3]
        assert result.exclusive
        for name, mask in unions(result).items():
            assert 0 < mask.sum() < mask.size
            np.testing.assert_array_equal(result.mask(name), mask)

    def test_hide_what_the_metadata_names(self, result) -> None:
        assert [s.name for s in result.segments if not s.shown] == HIDDEN

    def test_of_a_region_have_groups_there_alone(self, bundle, image) -> None:
        part = run(bundle, image, Options(roi=((4, 30), (2, 28), (1, 5))))
        assert part.layers.shape == (3, 36, 32, 6)
        for name, mask in unions(part).items():
            np.testing.assert_array_equal(part.mask(name), mask)
        assert not part.mask("heart")[..., 0].any()

    def test_measure_groups_as_any_segment(self, result, image) -> None:
        measured = {m.name: m for m in measure(result, image)}
        inside = np.asarray(image)[0][result.mask("pools")]
        assert measured["pools"].voxels == measured["lv_pool"].voxels + measured["rv_pool"].voxels
        assert measured["pools"].mean == pytest.approx(inside.mean())

    def test_give_no_probability_of_a_group(self, bundle, image) -> None:
        with pytest.raises(InputError, match=r"no label 'heart'; it has background, lv_pool"):
            run(bundle, image, Options(probabilities=("heart",)))
        assert list(run(bundle, image, Options(probabilities=("all",))).probability) == GROUPS["heart"][:3]


class TestFiles:
    def test_nifti_has_the_channel_numbers_and_a_mask_beside_it_for_each_group(self, result, tmp_path) -> None:
        labels, *masks = write_nifti(result, tmp_path / "o.nii.gz")
        np.testing.assert_array_equal(np.asarray(nibabel.load(labels).dataobj), result.layers[0])
        assert [path.name for path in masks] == [f"o_{name}.nii.gz" for name in GROUPS]
        for path, name in zip(masks, GROUPS, strict=True):
            np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), result.mask(name))

    def test_the_report_has_millilitres_of_groups_and_what_is_shown(self, result, tmp_path) -> None:
        (path,) = write_json(result, tmp_path / "o.json")
        told = {s["name"]: s for s in json.loads(path.read_text(encoding="utf-8"))["segments"]}
        assert told["heart"]["milliliters"] == pytest.approx(result.mask("heart").sum() * 0.01, abs=1e-3)
        assert {name for name, segment in told.items() if not segment["shown"]} == set(HIDDEN)


class TestScene:
    @pytest.fixture
    def slicer(self):
        pytest.importorskip("slicer", reason="slicer-core is not installed")
        from DeepImagingLib import scene

        scene.host()
        import slicer

        slicer.mrmlScene.Clear(False)
        return slicer

    @pytest.fixture
    def volume(self, slicer, image):
        array = np.ascontiguousarray(image.numpy()[0].transpose(2, 1, 0))
        return slicer.util.addVolumeFromArray(array, GRID, "scan")

    def test_seg_nrrd_opens_with_all_segments(self, slicer, volume, result, tmp_path) -> None:
        (path,) = write_seg_nrrd(result, tmp_path / "o.seg.nrrd")
        loaded = slicer.util.loadSegmentation(str(path))
        assert loaded.GetSegmentation().GetNumberOfLayers() == 3
        for segment in result.segments:
            array = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, segment.id, volume)
            np.testing.assert_array_equal(array.transpose(2, 1, 0) > 0, result.mask(segment))

    def test_hidden_segments_are_there_switched_off_and_stay_so_in_a_saved_scene(
        self, slicer, volume, result, tmp_path
    ) -> None:
        from DeepImagingLib import scene

        node = scene.show(result, volume)
        assert visible(node) == SHOWN
        assert node.GetSegmentation().GetSegment("heart").GetRepresentation("Closed surface").GetNumberOfPoints()
        assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
        slicer.util.loadScene(str(tmp_path / "s.mrb"), {"clear": True})
        (again,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        assert visible(again) == SHOWN

    def test_a_node_that_is_filled_again_shows_what_the_new_result_shows(self, volume, result, plain, image) -> None:
        from DeepImagingLib import scene

        node = scene.show(result, volume, surface=False)
        scene.show(run(plain, image), volume, node=node, surface=False)
        assert visible(node) == GROUPS["heart"]

    def test_labels_are_exported_as_a_run_writes_them(self, volume, result, tmp_path) -> None:
        from DeepImagingLib import scene

        node = scene.show(result, volume, surface=False)
        (tmp_path / "ours").mkdir()
        ours = write_nifti(result, tmp_path / "ours" / "o.nii.gz")
        written = scene.export_segmentation(node, tmp_path / "o.nii.gz")
        assert [path.name for path in written] == [path.name for path in ours]
        for path, expected in zip(written, ours, strict=True):
            np.testing.assert_array_equal(nibabel.load(path).get_fdata(), nibabel.load(expected).get_fdata())

    def test_a_picture_is_that_of_a_result_without_what_is_hidden(self, slicer, result, image, tmp_path) -> None:
        from DeepImagingLib.scene import ResultExport

        kept = tuple(s for s in result.segments if s.shown)
        layers = result.layers.copy()
        layers[0][result.mask("rv_pool")] = 0
        layers[1] = 0
        layers[2][result.mask("pools")] = 0
        without = replace(result, segments=kept, layers=layers)
        everything = replace(result, segments=tuple(replace(s, shown=True) for s in result.segments))
        pictures = [picture_of(ResultExport(r, {"scan": image}), tmp_path) for r in (result, without, everything)]
        np.testing.assert_array_equal(pictures[0], pictures[1])
        assert (pictures[0] != pictures[2]).any()


def picture_of(export, folder: Path) -> np.ndarray:
    """Return the pixels of the overview."""
    (path,) = export.write_png(folder / "o.png")
    return imread(path)


def visible(node) -> list[str]:
    """Return the ids of the segments that are switched on."""
    display = node.GetDisplayNode()
    return [i for i in node.GetSegmentation().GetSegmentIDs() if display.GetSegmentVisibility(i)]
