"""Boxes written to files, and lists of lesions read."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import (
    KeptBoxes,
    findings_report,
    read_deeplesion,
    read_luna16,
    write_findings_csv,
    write_findings_json,
)
from DeepImagingLib.results import Detections
from DeepImagingLib.tasks.detection import class_names, classes_of, decode
from Testing.grids import affine

GRID = affine("LPS", (0.5, 0.5, 2.0), (10.0, 20.0, -30.0))


@pytest.fixture
def found() -> Detections:
    """Three boxes, of which two are findings."""
    corners = np.array([[0, 0, 0, 4, 4, 2], [10, 20, 5, 30, 30, 10], [1, 1, 1, 3, 3, 3]], float)
    boxes = decode(corners, np.array([0.4, 0.9, 0.1]), np.array([0, 1, 0]), ("solid", "ground glass, ½"), GRID)
    return Detections(boxes, ("solid", "ground glass, ½"), 0.3, (40, 40, 20), GRID)


class TestDecoding:
    def test_the_highest_score_is_the_first_and_its_box_lies_in_ras(self, found: Detections) -> None:
        best = found.boxes[0]
        assert (best.label, best.score) == ("ground glass, ½", 0.9)
        assert best.center == pytest.approx((10 - 0.5 * 20, 20 - 0.5 * 25, -30 + 2 * 7.5))
        assert best.size == pytest.approx((10, 5, 10))
        assert best.millilitres == pytest.approx(np.pi / 6 * 0.5)
        np.testing.assert_allclose(best.axes, np.diag([-1, -1, 1]))

    def test_classes_without_names_get_some(self) -> None:
        assert class_names({}, 1) == ("finding",)
        assert class_names({1: "cyst"}, 2) == ("finding 0", "cyst")

    def test_a_background_that_metadata_count_is_no_class(self) -> None:
        assert class_names({0: "background", 1: "nodule"}, 1) == ("nodule",)
        assert classes_of(("all",), ("nodule", "cyst")) == (0, 1)


class TestWriting:
    def test_json_has_units_and_parts_boxes_by_the_threshold(self, found: Detections, tmp_path: Path) -> None:
        kept = KeptBoxes(reviews={1: "accepted"})
        assert write_findings_json(found, tmp_path / "x.json", kept) == [tmp_path / "x.json"]
        told = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
        assert [box["label"] for box in told["findings"]] == ["ground glass, ½", "solid"]
        assert [box["review"] for box in told["findings"]] == ["not reviewed", "accepted"]
        assert [box["score"] for box in told["below_threshold"]] == [0.1]
        assert told["coordinate_system"] == "RAS, mm" and "mm" in told["units"]["size_mm"]
        first = told["findings"][0]
        assert first["center_ras"] == [0.0, 7.5, -15.0] and first["size_mm"] == [10.0, 5.0, 10.0]
        assert first["index_box"] == [10, 20, 5, 30, 30, 10]

    def test_csv_has_a_row_for_each_box(self, found: Detections, tmp_path: Path) -> None:
        write_findings_csv(found, tmp_path / "x.csv")
        with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["finding"] for row in rows] == ["1", "1", "0"]
        assert rows[0]["label"] == "ground glass, ½" and float(rows[0]["center_anterior_mm"]) == 7.5
        assert float(rows[0]["size_k_mm"]) == 10 and rows[0]["review"] == "not reviewed"

    def test_what_became_of_the_boxes_is_told(self, found: Detections, tmp_path: Path) -> None:
        kept = KeptBoxes(ranks=(1, 4, 7), found=1000, shown_from=0.95)
        write_findings_json(found, tmp_path / "x.json", kept)
        told = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
        assert [box["rank"] for box in (*told["findings"], *told["below_threshold"])] == [1, 4, 7]
        assert (told["kept"], told["found"], told["shown_from"], told["threshold"]) == (3, 1000, 0.95, 0.3)
        write_findings_csv(found, tmp_path / "x.csv", kept)
        with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [(row["rank"], row["finding"]) for row in rows] == [("1", "1"), ("4", "1"), ("7", "0")]
        assert {row["boxes_found"] for row in rows} == {"1000"}

    def test_all_boxes_of_a_run_are_kept_where_nothing_else_is_said(self, found: Detections) -> None:
        told = findings_report(found)
        assert (told["kept"], told["found"]) == (3, 3) and "shown_from" not in told

    def test_a_number_that_is_none_is_null(self, found: Detections, tmp_path: Path) -> None:
        boxes = tuple(
            replace(box, more={"malignancy": value}) for box, value in zip(found.boxes, (0.5, np.nan, np.inf))
        )
        write_findings_json(replace(found, boxes=boxes), tmp_path / "x.json")
        text = (tmp_path / "x.json").read_text(encoding="utf-8")
        told = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        every = (*told["findings"], *told["below_threshold"])
        assert [box["more"]["malignancy"] for box in every] == [0.5, None, None]

    def test_nothing_found_is_written_as_such(self, tmp_path: Path) -> None:
        nothing = Detections((), ("nodule",), 0.5, (4, 4, 4), GRID)
        assert findings_report(nothing)["findings"] == []
        write_findings_csv(nothing, tmp_path / "x.csv")
        assert len((tmp_path / "x.csv").read_text().splitlines()) == 1


class TestReading:
    def test_luna16_nodules_are_turned_from_lps(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text(
            "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2.3,-128.7,-175.3,-298.4,5.65\n1.2.3,103.8,-211.9,-227.1,4.2\n"
        )
        first, second = read_luna16(tmp_path / "a.csv")["1.2.3"]
        assert first.center == (128.7, 175.3, -298.4) and first.diameter == 5.65 and first.label == "nodule"
        assert second.center == (-103.8, 211.9, -227.1) and second.score is None

    def test_luna16_candidates_have_a_class_and_no_size(self, tmp_path: Path) -> None:
        (tmp_path / "c.csv").write_text("seriesuid,coordX,coordY,coordZ,class\n1.2,1,2,3,0\n1.2,1,2,3,1\n")
        labels = [(one.label, np.isnan(one.diameter)) for one in read_luna16(tmp_path / "c.csv")["1.2"]]
        assert labels == [("no nodule", True), ("nodule", True)]

    def test_deeplesion_boxes_are_turned_into_millimetres(self, tmp_path: Path) -> None:
        (tmp_path / "DL_info.csv").write_text(
            "File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,Bounding_boxes,"
            "Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,Possibly_noisy,Slice_range,"
            "Spacing_mm_px_,Image_size\n"
            '000001_01_01_109.png,1,1,1,109,"1, 2, 3, 4","226.0, 90.0, 246.0, 100.0","16.8, 7.7","0.4, 0.2, 0.5",5,0,'
            '"103, 115","0.5, 0.5, 5","512, 512"\n'
        )
        (found,) = read_deeplesion(tmp_path / "DL_info.csv")["000001_01_01"]
        lesion = found.in_volume(np.zeros(3))
        assert lesion.center == pytest.approx((-118, -47.5, -540)) and lesion.size[:2] == (10, 5)
        assert lesion.label == "lung" and lesion.diameter == pytest.approx(8.4)

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("a,b\n1,2\n", "no column"),
            ("seriesuid,coordX,coordY,coordZ\n1,2,x,3\n", "line 2: coordY"),
            ("seriesuid,coordX,coordY,coordZ,diameter_mm\n1,2,3,4,-5\n", "line 2: diameter_mm"),
            ("seriesuid,coordX,coordY,coordZ,class\n1,2,3,4,2\n", "line 2: class"),
        ],
    )
    def test_another_table_is_refused_with_its_line(self, tmp_path: Path, text: str, fault: str) -> None:
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(InputError, match=fault):
            read_luna16(tmp_path / "x.csv")
