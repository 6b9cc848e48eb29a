"""What there is to find is read from the tables of public data sets and from files of our own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.references import References

LPS = np.array([[-1.0, 0, 0, 50], [0, -1, 0, 40], [0, 0, 2, -100], [0, 0, 0, 1]])
IMAGE = MetaTensor(torch.zeros(1, 20, 20, 20), affine=torch.from_numpy(LPS))


def test_luna16_s_positions_go_from_lps_to_ras(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2.3,-10,20,30,7.5\n")
    references = References(tmp_path)
    assert references.of("1.2.3", IMAGE).tolist() == [[10, -20, 30, 7.5, 7.5, 7.5]]
    assert references.of("4.5.6", IMAGE).shape == (0, 6)


def test_deeplesion_s_pixels_are_counted_from_the_first_voxel(tmp_path: Path) -> None:
    columns = "File_name,Key_slice_index,Bounding_boxes,Spacing_mm_px_,Coarse_lesion_type"
    (tmp_path / "DL_info.csv").write_text(f'{columns}\n000001_01_01_004.png,4,"2,4,6,10","1,1,2",5\n')
    row = References(tmp_path).of("000001_01_01", IMAGE)[0]
    assert row[:5].tolist() == [50 - 4, 40 - 7, -100 + 6, 4, 6] and np.isnan(row[5])


def test_findings_of_a_run_count_but_those_that_were_rejected(tmp_path: Path) -> None:
    one = {"center_ras": [1, 2, 3], "size_mm": [4, 5, 6], "label": "nodule", "score": 1, "review": "accepted"}
    findings = [one, {**one, "review": "rejected"}]
    (tmp_path / "scan.json").write_text(json.dumps({"findings": findings}))
    assert References(tmp_path).of("scan", IMAGE).tolist() == [[1, 2, 3, 4, 5, 6]]


def test_sizes_along_a_sagittal_scan_s_axes_become_those_along_the_patient_s(tmp_path: Path) -> None:
    one = {"center_ras": [1, 2, 3], "size_mm": [4, 5, 6], "label": "nodule", "score": 1}
    axes = [[0, 0, -1], [0.1, 0.99, 0], [0.99, -0.1, 0]]  # i up, j to the front, k to the left
    (tmp_path / "scan.json").write_text(json.dumps({"findings": [one], "geometry": {"axes": axes}}))
    assert References(tmp_path).of("scan", IMAGE).tolist() == [[1, 2, 3, 6, 5, 4]]


def test_a_scan_of_which_nothing_is_known_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"scan\.json.*annotations\.csv"):
        References(tmp_path).of("scan", IMAGE)
