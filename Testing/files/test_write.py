"""What is written can be read by others, and nothing is left under a final name where writing fails."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.spatialimages import HeaderDataError

from DeepImagingLib.errors import InputError, OutputError
from DeepImagingLib.files import staged, write_json, write_nifti, write_seg_nrrd
from DeepImagingLib.files.image import affine_from_itk
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.tasks.terminology import look_up
from Testing.grids import affine

GRID = affine("LAS", (0.8, 0.9, 2.5), (1, 2, 3), rotation=(3, 5, 8))


def result(exclusive: bool) -> Segmentation:
    """A spleen and a liver; overlapping ones on two layers."""
    rng = np.random.default_rng(0)
    if exclusive:
        layers = rng.integers(0, 3, (1, 4, 5, 6)).astype(np.uint8)
    else:
        layers = (rng.integers(0, 2, (2, 4, 5, 6)) * np.array([1, 2]).reshape(2, 1, 1, 1)).astype(np.uint8)
    segments = tuple(
        Segment(n, n, 0 if exclusive else v - 1, v, look_up(n)[1], look_up(n)[0])
        for n, v in (("spleen", 1), ("liver", 2))
    )
    return Segmentation(layers, GRID, segments, exclusive)


class TestNifti:
    def test_values_are_the_channel_numbers_and_the_grid_is_kept(self, tmp_path: Path) -> None:
        (path,) = write_nifti(result(exclusive=True), tmp_path / "labels.nii.gz")
        image = nibabel.load(path)
        np.testing.assert_array_equal(np.asarray(image.dataobj), result(exclusive=True).layers[0])
        np.testing.assert_allclose(image.affine, GRID, atol=1e-5)

    def test_overlapping_segments_have_a_file_each(self, tmp_path: Path) -> None:
        given = result(exclusive=False)
        paths = write_nifti(given, tmp_path / "labels.nii.gz")
        assert [p.name for p in paths] == ["labels_spleen.nii.gz", "labels_liver.nii.gz"]
        for path, name in zip(paths, ("spleen", "liver"), strict=True):
            np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), given.mask(name))


class TestSegNrrd:
    @pytest.mark.parametrize("exclusive", [True, False])
    def test_another_reader_finds_each_segment_by_layer_and_value(self, tmp_path: Path, exclusive) -> None:
        given = result(exclusive)
        (path,) = write_seg_nrrd(given, tmp_path / "s.seg.nrrd")
        data, header = nrrd.read(str(path))
        layers = data if data.ndim == 4 else data[None]
        for index, name in enumerate(("spleen", "liver")):
            assert header[f"Segment{index}_Name"] == name
            layer, value = (int(header[f"Segment{index}_{key}"]) for key in ("Layer", "LabelValue"))
            np.testing.assert_array_equal(layers[layer] == value, given.mask(name))
        assert "SCT^78961009^Spleen" in header["Segment0_Tags"]

    def test_names_of_every_alphabet_and_with_line_breaks_come_back(self, tmp_path: Path) -> None:
        import slicer

        from DeepImagingLib import scene

        names = ["Ödem", "肝臓", "two\nlines := here"]
        segments = tuple(Segment(f"s{v}", name, 0, v, (1.0, 0.0, 0.0)) for v, name in enumerate(names, start=1))
        given = Segmentation(np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4) % 4, GRID, segments)
        write_seg_nrrd(given, tmp_path / "s.seg.nrrd")
        scene.host()
        loaded = slicer.util.loadSegmentation(str(tmp_path / "s.seg.nrrd")).GetSegmentation()
        found = [loaded.GetNthSegment(i).GetName() for i in range(loaded.GetNumberOfSegments())]
        assert found[:2] == names[:2]
        assert found[2].replace("\\n", "\n") == names[2]


class TestProbabilities:
    @pytest.fixture
    def given(self) -> Segmentation:
        """A result with volumes of a label and of the background, in each order of memory."""
        values = np.random.default_rng(1).random((4, 5, 6), np.float32)
        volumes = {"liver": np.asfortranarray(values), "Background": 1 - values}
        return replace(result(exclusive=True), probability=volumes)

    @pytest.mark.parametrize(
        ("write", "ending", "kind"), [(write_nifti, ".nii.gz", ".nii.gz"), (write_seg_nrrd, ".seg.nrrd", ".nrrd")]
    )
    def test_lie_beside_the_labels_as_the_same_kind_of_file(self, given, tmp_path: Path, write, ending, kind) -> None:
        labels, *volumes = write(given, tmp_path / f"labels{ending}")
        names = [f"labels_probability_{name}{kind}" for name in ("liver", "background")]
        assert (labels.name, [path.name for path in volumes]) == (f"labels{ending}", names)
        for path, values in zip(volumes, given.probability.values(), strict=True):
            image = sitk.ReadImage(str(path))
            assert image.GetPixelID() == sitk.sitkFloat32
            np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, values)
            np.testing.assert_allclose(affine_from_itk(image), GRID, atol=1e-5)

    def test_lie_beside_the_masks_where_segments_overlap(self, given, tmp_path: Path) -> None:
        overlapping = replace(result(exclusive=False), probability=given.probability)
        names = [path.name for path in write_nifti(overlapping, tmp_path / "labels.nii.gz")]
        assert names[:3] == ["labels_spleen.nii.gz", "labels_liver.nii.gz", "labels_probability_liver.nii.gz"]

    def test_are_named_by_the_id_of_a_label_that_no_file_name_takes(self, given, tmp_path: Path) -> None:
        odd = Segment("left_kidney", "left/kidney ∕", 0, 1, (1.0, 0.0, 0.0))
        named = replace(given, segments=(odd,), probability={odd.name: given.probability["liver"]})
        assert write_nifti(named, tmp_path / "a.nii.gz")[1].name == "a_probability_left_kidney.nii.gz"

    def test_appear_with_the_labels_or_not_at_all(self, given, tmp_path: Path) -> None:
        labels = tmp_path / "labels.nii.gz"
        unwritable = replace(given, probability={**given.probability, "spleen": np.zeros((4, 5, 6), object)})
        with pytest.raises(HeaderDataError), staged([labels]) as stages:
            write_nifti(unwritable, stages[labels])
        assert not list(tmp_path.iterdir())
        with staged([labels]) as stages:
            write_nifti(given, stages[labels])
        assert len(list(tmp_path.iterdir())) == 3


class TestReport:
    def test_volumes_are_in_millilitres(self, tmp_path: Path) -> None:
        given = result(exclusive=True)
        write_json(given, tmp_path / "report.json")
        told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        expected = given.mask("spleen").sum() * 0.8 * 0.9 * 2.5 / 1000
        assert told["segments"][0]["milliliters"] == pytest.approx(expected, abs=1e-3)

    def test_a_result_pickles(self) -> None:
        again = pickle.loads(pickle.dumps(result(exclusive=False)))
        np.testing.assert_array_equal(again.layers, result(exclusive=False).layers)


def write_and_fail(finals: list[Path], error: BaseException) -> None:
    with staged(finals) as stages:
        stages[finals[0]].write_text("new")
        raise error


def write_two(folder: Path) -> None:
    with staged([folder / "a.txt", folder / "b.txt"]) as stages:
        stages[folder / "a.txt"].write_text("new")
        stages[folder / "b.txt"].with_name("b_2.txt").write_text("new")


def write_both(finals: list[Path]) -> None:
    with staged(finals) as stages:
        for final in finals:
            stages[final].write_text("new")


class TestStaging:
    def test_all_files_appear_together(self, tmp_path: Path) -> None:
        first, second = tmp_path / "a.txt", tmp_path / "new" / "b.txt"
        with staged([first, second]) as stages:
            stages[first].write_text("1")
            stages[second].write_text("2")
            assert not first.exists()
        assert first.read_text() + second.read_text() == "12"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "new"]

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
    def test_nothing_is_left_after_an_error(self, tmp_path: Path, error) -> None:
        kept = tmp_path / "a.txt"
        kept.write_text("from before")
        with pytest.raises(type(error)):
            write_and_fail([kept, tmp_path / "deep" / "er" / "b.txt"], error)
        assert kept.read_text() == "from before"
        assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]

    def test_a_writer_that_wrote_nothing_is_noticed(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"a\.txt"), staged([tmp_path / "a.txt"]):
            pass
        assert not list(tmp_path.iterdir())

    def test_a_file_asked_for_twice_is_refused(self, tmp_path: Path) -> None:
        twice = [tmp_path / "a.txt", tmp_path / "x" / ".." / "a.txt"]
        with pytest.raises(InputError, match="asked for twice"), staged(twice):
            pytest.fail("no work may start")
        assert not list(tmp_path.iterdir())

    def test_what_was_there_comes_back_where_a_later_file_cannot_be_placed(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("from before")
        (tmp_path / "b_2.txt").mkdir()
        with pytest.raises(OutputError, match=r"b_2\.txt"):
            write_two(tmp_path)
        assert (tmp_path / "a.txt").read_text() == "from before"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "b_2.txt"]

    def test_a_refused_name_leaves_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="too long"), staged([tmp_path / "new" / "x" / ("a" * 300)]):
            pytest.fail("no work may start")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("at", [1, 2, 3, 4])
    def test_older_files_come_back_whatever_stops_the_moves(self, tmp_path: Path, monkeypatch, at: int) -> None:
        finals = [tmp_path / "a.txt", tmp_path / "b.txt"]
        for final in finals:
            final.write_text("from before")
        moves = []

        def replace(source: Path, target: Path, move=os.replace) -> None:
            move(source, target)
            moves.append(target)
            if len(moves) == at:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            write_both(finals)
        assert [final.read_text() for final in finals] == ["from before"] * 2
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "b.txt"]

    def test_a_place_that_cannot_be_a_folder_is_refused_before_work_starts(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="can't be made"), staged([tmp_path / "file" / "a.txt"]):
            pytest.fail("no work may start")
