"""What counts as a study, and what it is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from DeepImagingLib import load_bundle
from DeepImagingLib.batch import Study, find_studies
from DeepImagingLib.batch.studies import LONGEST_NAME, OWN_FOLDER
from DeepImagingLib.errors import InputError
from DeepImagingLib.study import UNNAMED
from Testing.files.series import write_series


def put(folder: Path, *names: str) -> Path:
    """Make files of no content: finding looks at names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


@pytest.fixture
def spleen(bundle):
    return load_bundle(bundle)


@pytest.fixture
def tumour(brats):
    return load_bundle(brats)


class TestFolder:
    def test_each_image_file_is_a_study_named_by_its_place(self, spleen, tmp_path) -> None:
        put(tmp_path, "b.nii.gz", "A.NRRD", "deep/er/c.mha", "notes.txt", "report.json")
        found = {study.name: study.inputs[UNNAMED] for study in find_studies(tmp_path, spleen)}
        assert found == {
            "A": tmp_path / "A.NRRD",
            "b": tmp_path / "b.nii.gz",
            "deep_er_c": tmp_path / "deep" / "er" / "c.mha",
        }

    def test_each_folder_of_dicom_files_is_one(self, spleen, tmp_path) -> None:
        for name in ("p1/ct", "p2"):
            write_series(tmp_path / name, [0, 2])
        put(tmp_path, "p2/also.nii")
        names = [study.name for study in find_studies(tmp_path, spleen)]
        assert names == ["p1_ct", "p2_also", "p2"]

    def test_a_folder_that_is_itself_a_series(self, spleen, tmp_path) -> None:
        write_series(tmp_path / "1.2.840", [0, 2])
        (study,) = find_studies(tmp_path / "1.2.840", spleen)
        assert (study.name, study.inputs[UNNAMED]) == ("1.2.840", tmp_path / "1.2.840")

    def test_results_and_hidden_files_are_none(self, spleen, tmp_path) -> None:
        put(tmp_path, "a.nii", "a.seg.nrrd", "._a.nii", ".cache/b.nii", "out/c.nii.gz", "earlier/d.nii.gz")
        (tmp_path / "earlier" / OWN_FOLDER).mkdir()
        assert [study.name for study in find_studies(tmp_path, spleen, skip=tmp_path / "out")] == ["a"]

    def test_results_need_a_folder_of_their_own(self, spleen, tmp_path) -> None:
        put(tmp_path, "a.nii")
        with pytest.raises(InputError, match="a folder of their own"):
            find_studies(tmp_path, spleen, skip=tmp_path)

    def test_each_folder_counts_once_whatever_links_lead_to_it(self, spleen, tmp_path) -> None:
        put(tmp_path, "scans/a.nii", "scans/deep/b.nii", "elsewhere/c.nii")
        for link, target in (("1", "elsewhere"), ("2", "elsewhere"), ("deep/up", "scans"), ("deep/out", "elsewhere")):
            (tmp_path / "scans" / link).symlink_to(tmp_path / target, target_is_directory=True)
        assert [study.name for study in find_studies(tmp_path / "scans", spleen)] == ["a", "deep_b", "1_c"]

    def test_a_folder_that_cannot_be_read_is_told_of(self, spleen, tumour, tmp_path, monkeypatch) -> None:
        put(tmp_path, "a.nii", "p/b.nii")

        def refusing(real):
            def call(path):
                if Path(path).name == "p":  # root may read whatever is locked
                    raise PermissionError(13, "Permission denied", path)
                return real(path)

            return call

        for name in ("scandir", "listdir"):
            monkeypatch.setattr(os, name, refusing(getattr(os, name)))
        told = {study.name: study.problem for study in find_studies(tmp_path, spleen)}
        assert told == {"a": "", "p": "The folder can't be read (Permission denied)."}
        assert [study.problem for study in find_studies(tmp_path, tumour)] == [told["p"]]

    def test_names_that_would_be_the_same_are_told_apart(self, spleen, tmp_path) -> None:
        put(tmp_path, "a.nii", "a.nii.gz", "p_b.nii", "p/B.nii")
        names = [study.name for study in find_studies(tmp_path, spleen)]
        assert names == ["a_nii", "a_nii_gz", "p_b_nii", "p_B_nii_2"]
        put(tmp_path, "a.mha", "0.nii")
        assert {*names} < {study.name for study in find_studies(tmp_path, spleen)}

    def test_long_ways_get_short_names_of_their_own(self, spleen, tmp_path) -> None:
        put(tmp_path / ("1" * 120) / ("2" * 120), "a.nii")
        put(tmp_path / ("3" * 120) / ("2" * 120), "a.nii")
        names = [study.name for study in find_studies(tmp_path, spleen)]
        assert len(set(names)) == 2
        assert all(len(name) <= LONGEST_NAME for name in names)

    def test_nothing_there_is_said_with_what_is_expected(self, spleen, tumour, tmp_path) -> None:
        put(tmp_path, "case7_scan.nii.gz")
        with pytest.raises(InputError, match="folder each with an image for T1c, T1, T2, FLAIR"):
            find_studies(tmp_path, tumour)
        with pytest.raises(InputError, match="neither a folder nor a list"):
            find_studies(tmp_path / "case7_scan.nii.gz", spleen)


class TestChannels:
    def test_a_folder_with_a_file_or_series_for_each_is_a_study(self, tumour, tmp_path) -> None:
        put(tmp_path / "p1", "p1_t1.nii.gz", "p1_t1ce.nii.gz", "p1_t2.nii.gz", "p1_seg.nii.gz")
        write_series(tmp_path / "p1" / "FLAIR", [0, 2])
        (study,) = find_studies(tmp_path, tumour)
        assert study.name == "p1"
        assert not study.problem
        assert {name: path.name for name, path in study.inputs.items()} == {
            "T1c": "p1_t1ce.nii.gz",
            "T1": "p1_t1.nii.gz",
            "T2": "p1_t2.nii.gz",
            "FLAIR": "FLAIR",
        }

    def test_one_that_lacks_a_channel_is_not_passed_over(self, tumour, tmp_path) -> None:
        put(tmp_path / "p1", "t1.nii.gz", "t1c.nii.gz", "t2.nii.gz")
        (study,) = find_studies(tmp_path, tumour)
        assert "no image for FLAIR" in study.problem


class TestList:
    def write(self, tmp_path: Path, text: str) -> Path:
        (tmp_path / "list.csv").write_bytes(text.encode("utf-8-sig"))
        return tmp_path / "list.csv"

    def test_one_column_of_inputs(self, spleen, tmp_path) -> None:
        found = find_studies(self.write(tmp_path, f"Input\nscans/ä 1.nii.gz\n\n{tmp_path / 'b.mha'}\n"), spleen)
        assert [study.name for study in found] == ["ä 1", "b"]
        assert found[0].inputs == {UNNAMED: tmp_path / "scans" / "ä 1.nii.gz"}

    @pytest.mark.parametrize("mark", [",", ";", "\t"])
    def test_channels_names_and_series(self, tumour, tmp_path, mark) -> None:
        rows = [["name", "flair", "T2", "t1", "T1C", "series"], ["../x", "f.nii", "2.nii", "1.nii", "c.nii", "1.2.3"]]
        (study,) = find_studies(self.write(tmp_path, "\r\n".join(map(mark.join, rows))), tumour)
        assert (study.name, study.series, list(study.inputs)) == ("_x", "1.2.3", ["T1c", "T1", "T2", "FLAIR"])
        assert study.inputs["T1c"] == tmp_path / "c.nii"

    def test_a_missing_column(self, tumour, tmp_path) -> None:
        with pytest.raises(InputError, match="no column T2, FLAIR for 'brats_like'; it has t1c, t1"):
            find_studies(self.write(tmp_path, "T1c,T1\na,b\n"), tumour)

    def test_an_empty_cell_is_told_when_it_is_its_turn(self, spleen, tmp_path) -> None:
        found = find_studies(self.write(tmp_path, "name,input\np1,\np2,a.nii\np2,b.nii\n"), spleen)
        assert [(study.name, bool(study.problem)) for study in found] == [("p1", True), ("p2", False), ("p2_2", False)]

    @pytest.mark.parametrize("content", [b"input\n\xff\xfe.nii\n", b"input\na\0.nii\n"])
    def test_what_is_no_text(self, spleen, tmp_path, content) -> None:
        (tmp_path / "list.csv").write_bytes(content)
        with pytest.raises(InputError, match="CSV in UTF-8"):
            find_studies(tmp_path / "list.csv", spleen)


class TestFingerprint:
    def test_follows_the_files_and_not_the_results_beside_them(self, tmp_path) -> None:
        write_series(tmp_path / "ct", [0, 2])
        study = Study("ct", {UNNAMED: tmp_path / "ct"})
        before = study.fingerprint()
        put(tmp_path / "ct" / "results" / OWN_FOLDER, "lock")
        put(tmp_path / "ct" / "results", "ct.json")
        assert study.fingerprint() == before
        write_series(tmp_path / "ct", [4], seed=3)
        assert study.fingerprint() != before

    def test_of_what_is_not_there(self, tmp_path) -> None:
        names = [tmp_path / "absent.nii", tmp_path / ("x" * 300), tmp_path / "nul\0.nii"]
        assert len({Study("x", {UNNAMED: path}).fingerprint() for path in names}) == 3
