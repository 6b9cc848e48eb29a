"""What there is to find is read from the tables of public data sets and from files of our own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.references import Place, References, rows_of

LPS = np.array([[-1.0, 0, 0, 50], [0, -1, 0, 40], [0, 0, 2, -100], [0, 0, 0, 1]])
IMAGE = MetaTensor(torch.zeros(1, 20, 20, 20), affine=torch.from_numpy(LPS))
NODULES = "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2.3,-10,20,30,7.5\n"
LESIONS = (
    "File_name,Key_slice_index,Bounding_boxes,Lesion_diameters_Pixel_,Spacing_mm_px_,Coarse_lesion_type,Possibly_noisy\n"
    '000001_01_01_004.png,4,"2,4,14,18","8,3","1,1,2",5,0\n000001_01_01_005.png,5,"2,4,14,18","8,3","1,1,2",5,1\n'
)


def lesions_of(folder: Path, *names: str, image: MetaTensor = IMAGE) -> np.ndarray:
    """Return middles and lengths in the first of the files of these names."""
    places = [Place(name.replace("/", "_").partition(".nii")[0].partition(".PNG")[0], folder / name) for name in names]
    return rows_of(References(folder, places).of(places[0], image))


@pytest.mark.parametrize("name", ["1.2.3.nii.gz", "subset0/1.2.3.mhd", "1.2.3"])
def test_luna16_s_positions_go_from_lps_to_ras(tmp_path: Path, name: str) -> None:
    (tmp_path / "annotations.csv").write_text(NODULES)
    assert lesions_of(tmp_path, name).tolist() == [[10, -20, 30, 7.5, 7.5, 7.5]]
    assert lesions_of(tmp_path, "4.5.6.nii.gz", name).shape == (0, 6)


def test_luna16_s_candidates_of_class_1_are_lesions_of_unknown_size(tmp_path: Path) -> None:
    (tmp_path / "candidates.csv").write_text("seriesuid,coordX,coordY,coordZ,class\n1.2,-1,-2,3,1\n1.2,9,9,9,0\n")
    (row,) = lesions_of(tmp_path, "1.2.mhd")
    assert row[:3].tolist() == [1, 2, 3] and np.isnan(row[3:]).all()


def test_what_fits_no_scan_is_told(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text(NODULES + "9.9,0,0,0,5\n")
    with pytest.raises(InputError, match=r"none of the 1 scans, such as 'scan1'.*'1\.2\.3'"):
        References(tmp_path, [Place("scan1", tmp_path / "scan1.nii.gz")])
    places = [Place(name, tmp_path / f"{name}.nii") for name in ("1.2.3", "7.7")]
    told = References(tmp_path, places).told()
    assert (told["scans_without_entry"], told["entries_without_scan"]) == (1, 1)


class TestDeepLesion:
    """Slices are counted from the top, in the whole series or in the part that a file's name tells."""

    @pytest.mark.parametrize(
        ("name", "below_the_top"), [("000001_01_01.nii.gz", 3), ("000001_01_01_002-012.nii.gz", 2)]
    )
    def test_pixels_are_counted_from_the_first_voxel(self, tmp_path: Path, name: str, below_the_top: int) -> None:
        (tmp_path / "DL_info.csv").write_text(LESIONS)
        (row,) = lesions_of(tmp_path, name)
        top = -100 + 2 * 19
        assert row[:5].tolist() == [50 - 8, 40 - 11, top - 2 * below_the_top, 12, 14] and np.isnan(row[5])

    def test_a_slice_that_the_volume_has_not_is_left_out(self, tmp_path: Path) -> None:
        (tmp_path / "DL_info.csv").write_text(LESIONS)
        assert not len(lesions_of(tmp_path, "000001_01_01_005-024.nii.gz"))

    def test_the_diameter_is_what_was_measured_and_not_the_wider_box(self, tmp_path: Path) -> None:
        (tmp_path / "DL_info.csv").write_text(LESIONS)
        place = Place("a", tmp_path / "000001_01_01.nii")
        assert [one.diameter for one in References(tmp_path, [place]).of(place, IMAGE)] == [8]

    def test_a_picture_has_the_lesions_of_its_slice(self, tmp_path: Path) -> None:
        (tmp_path / "DL_info.csv").write_text(LESIONS)
        picture = MetaTensor(torch.zeros(1, 64, 64), affine=torch.diag(torch.tensor([-1.0, -1, 1, 1])))
        (row,) = lesions_of(tmp_path, "000001_01_01_004.png", image=picture)
        assert row[:5].tolist() == [-8, -11, 0, 12, 14]
        assert not len(lesions_of(tmp_path, "000001_01_01_003.png", image=picture))


ONE = {"center_ras": [1, 2, 3], "size_mm": [4, 5, 6], "label": "nodule", "score": 1, "review": "accepted"}


class TestFindings:
    """JSON files as `run` writes them."""

    def test_those_count_that_were_not_rejected_and_lower_ones_that_were_accepted(self, tmp_path: Path) -> None:
        findings = [ONE, {**ONE, "review": "rejected"}]
        below = [{**ONE, "center_ras": [7, 8, 9]}, {**ONE, "review": "not reviewed"}]
        (tmp_path / "scan.json").write_text(json.dumps({"findings": findings, "below_threshold": below}))
        assert lesions_of(tmp_path, "scan.nii").tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 4, 5, 6]]

    def test_how_many_nobody_reviewed_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "scan.json").write_text(json.dumps({"findings": [ONE, {**ONE, "review": "not reviewed"}]}))
        assert References(tmp_path, [Place("scan", tmp_path / "scan.nii")]).told()["findings_not_reviewed"] == 1

    def test_sizes_along_a_sagittal_scan_s_axes_become_those_along_the_patient_s(self, tmp_path: Path) -> None:
        axes = [[0, 0, -1], [0.1, 0.99, 0], [0.99, -0.1, 0]]  # i up, j to the front, k to the left
        (tmp_path / "scan.json").write_text(json.dumps({"findings": [ONE], "geometry": {"axes": axes}}))
        assert lesions_of(tmp_path, "scan.nii").tolist() == [[1, 2, 3, 6, 5, 4]]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"center_ras": ["a", "b", "c"]},
            {"center_ras": [1, 2]},
            {"center_ras": [1, 2, float("inf")]},
            {"center_ras": None},
            {"size_mm": [-5, 5, 5]},
            {"size_mm": [0, 0, 0]},
            {"size_mm": 5},
        ],
    )
    def test_one_without_place_or_size_is_refused_by_the_file_s_name(self, tmp_path: Path, wrong: dict) -> None:
        (tmp_path / "scan.json").write_text(json.dumps({"findings": [{**ONE, **wrong}]}))
        with pytest.raises(InputError, match=r"scan\.json"):
            lesions_of(tmp_path, "scan.nii")

    def test_a_scan_of_which_nothing_is_known_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"scan\.json.*annotations\.csv"):
            lesions_of(tmp_path, "scan.nii")


def test_findings_beside_a_picture_count(tmp_path: Path) -> None:
    (tmp_path / "photo.json").write_text(json.dumps({"findings": [ONE]}))
    picture = MetaTensor(torch.zeros(1, 64, 64), affine=torch.eye(4))
    assert lesions_of(tmp_path, "photo.PNG", image=picture).tolist() == [[1, 2, 3, 4, 5, 6]]


def test_a_scan_and_its_mask_of_one_name_are_told(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text(NODULES)
    places = [Place(folder, tmp_path / folder / "1.2.3.mhd") for folder in ("seg-lungs", "subset0")]
    with pytest.raises(InputError, match="seg-lungs and subset0 are both"):
        References(tmp_path, places)


def test_no_usable_scan_is_no_fault_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text(NODULES)
    assert References(tmp_path, []).told()["entries_without_scan"] == 1


def test_slices_of_deeplesion_lie_in_a_folder_of_their_series(tmp_path: Path) -> None:
    (tmp_path / "DL_info.csv").write_text(LESIONS)
    picture = MetaTensor(torch.zeros(1, 64, 64), affine=torch.eye(4))
    assert len(lesions_of(tmp_path, "000001_01_01/004.png", image=picture)) == 1
