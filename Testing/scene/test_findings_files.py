"""Findings as files: boxes that Slicer loads, a scene of their own, and a picture of each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.files import as_image
from DeepImagingLib.results import Detections
from DeepImagingLib.scene import contact_sheet, windows
from Testing.boxes import detection, detections, provenance
from Testing.grids import affine
from Testing.scene.nodes import add_volume, set_parent

SHAPE = (60, 50, 40)
GRID = affine("LPS", (1.5, 1.5, 2.0), (40.0, 30.0, -30.0))
TURNED = affine("LPS", (1.5, 1.5, 2.0), (40.0, 30.0, -30.0), (0.0, 0.0, 30.0))
BOXES = [((10.0, 20, 12, 16, 26, 17), 0.9), ((40.0, 30, 25, 44, 35, 28), 0.6), ((5.0, 5, 5, 8, 8, 8), 0.2)]
ROI = "vtkMRMLMarkupsROINode"


@pytest.fixture
def result() -> Detections:
    return detections(BOXES, GRID, SHAPE, provenance=provenance())


@pytest.fixture
def scan() -> np.ndarray:
    """(I, J, K): a lung with a bright, lopsided mark in the first box, at the corner of the lowest voxels."""
    values = np.random.default_rng(0).normal(-850, 30, SHAPE).astype(np.float32)
    values[10:14, 20:24, 12:16] = 100
    return values


class TestBoxes:
    def test_slicer_loads_those_that_are_shown_where_they_were(self, mrml, result, tmp_path: Path) -> None:
        import slicer

        volume = add_volume(np.zeros(SHAPE, np.int16), np.linalg.inv(_PARENT) @ GRID)
        set_parent(volume, _PARENT)
        table = scene.show_findings(result, volume)
        scene.set_review(table, scene.findings(table)[0].node, scene.Review.ACCEPTED)
        scene.write_markups(table, tmp_path / "f.mrk.json")
        scene.remove(table)
        slicer.modules.markups.logic().LoadMarkups(str(tmp_path / "f.mrk.json"), "f")
        loaded = slicer.util.getNodesByClass(ROI)
        assert [node.GetName() for node in loaded] == ["nodule 1", "nodule 2"]
        for node, box in zip(loaded, result.boxes, strict=False):
            np.testing.assert_allclose(node.GetCenterWorld(), box.center, atol=1e-4)
            np.testing.assert_allclose(node.GetSize(), box.size, atol=1e-4)
            assert node.GetLocked()
        assert loaded[0].GetNthControlPointDescription(0) == "score 0.900, accepted"
        told = json.loads((tmp_path / "f.mrk.json").read_text(encoding="utf-8"))["markups"]
        assert {(one["coordinateSystem"], one["coordinateUnits"]) for one in told} == {("LPS", "mm")}

    def test_nothing_found_is_a_file_without_boxes(self, mrml, tmp_path: Path) -> None:
        volume = add_volume(np.zeros(SHAPE, np.int16), GRID)
        scene.write_markups(scene.show_findings(detections([], GRID, SHAPE), volume), tmp_path / "f.mrk.json")
        told = json.loads((tmp_path / "f.mrk.json").read_text())
        assert (told["coordinateSystem"], told["coordinateUnits"], told["markups"]) == ("LPS", "mm", [])

    def test_the_file_says_how_many_of_the_runs_boxes_the_scene_keeps(self, mrml, tmp_path: Path) -> None:
        volume = add_volume(np.zeros(SHAPE, np.int16), GRID)
        table = scene.show_findings(detections([(BOXES[0][0], 1 - n / 900) for n in range(300)], GRID, SHAPE), volume)
        scene.set_threshold(table, 0.999)
        scene.write_markups(table, tmp_path / "f.mrk.json")
        told = json.loads((tmp_path / "f.mrk.json").read_text())
        assert (told["kept"], told["found"], told["shown_from"], len(told["markups"])) == (200, 300, 0.999, 1)


_PARENT = affine("RAS", (1.0, 1.0, 1.0), (12.0, -5.0, 30.0), (10.0, 20.0, 30.0))


class TestExport:
    def test_the_scene_has_the_scan_the_findings_and_their_place_in_view(self, mrml, result, scan, tmp_path) -> None:
        import slicer

        export = scene.DetectionsExport(result, {"chest": as_image(scan[None], GRID)}, "CT")
        export.write_mrb(tmp_path / "o.mrb")
        slicer.util.loadScene(str(tmp_path / "o.mrb"), {"clear": True})
        (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
        assert [f.detection for f in scene.findings(table)] == list(result.boxes)
        assert slicer.util.getNode("chest").GetImageData().GetDimensions() == SHAPE
        view = mrml.GetSingletonNode("Green", "vtkMRMLSliceNode")
        middle = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        assert middle == pytest.approx(result.boxes[0].center, abs=1e-3)

    @pytest.mark.parametrize(("around", "window"), [(-850, (1500.0, -600.0)), (50, (400.0, 40.0))])
    def test_a_ct_opens_in_the_window_of_what_surrounds_the_findings(self, result, scan, around, window) -> None:
        scan[scan < 0] = around
        export = scene.DetectionsExport(result, {"ct": as_image(scan[None], GRID)}, "CT")
        display = export._scene.volume.GetDisplayNode()
        assert (display.GetWindow(), display.GetLevel()) == window

    def test_all_three_files_come_of_one_export(self, result, scan, tmp_path) -> None:
        export = scene.DetectionsExport(result, {"chest": as_image(scan[None], GRID)}, "CT")
        for write, name in ((export.write_png, "o.png"), (export.write_markups, "o.mrk.json")):
            assert write(tmp_path / name) == [tmp_path / name]
            assert (tmp_path / name).stat().st_size > 500


class TestSlices:
    """The patient's right is on the left of the picture, anterior or superior at the top."""

    @pytest.mark.parametrize("plane", ["Red", "Green", "Yellow"])
    def test_what_is_drawn_lies_where_it_is_in_the_patient(self, scan, plane: str) -> None:
        box = detection(BOXES[0][0], GRID, 0.9)
        pixels = contact_sheet._Scan(scan, GRID).slice(plane, box.center, 60.0)
        rows, columns = np.nonzero(pixels > 0)
        down, across = rows.mean() / len(pixels) - 0.5, columns.mean() / len(pixels) - 0.5
        # The mark lies to the right, anterior and inferior of the middle of the box: low i, j and k of an LPS grid.
        expected = {"Red": (-1, -1), "Green": (1, -1), "Yellow": (1, -1)}[plane]
        assert (np.sign(down), np.sign(across)) == expected

    def test_what_is_outside_is_told_from_black(self, scan) -> None:
        box = detection((0.0, 0, 0, 2, 2, 2), GRID, 0.9)
        pixels = contact_sheet._Scan(scan, GRID).pictures(box, 60.0)["Red"]
        assert (pixels == contact_sheet.OUTSIDE).mean() > 0.5

    def test_a_lung_is_seen_in_its_own_window_in_all_planes(self, scan) -> None:
        scan[30:] = 40  # tissue beside it, which is all that the sagittal plane through it shows
        box = detection((26.0, 20, 20, 30, 24, 24), GRID, 0.9)
        pictures = contact_sheet._Scan(scan, GRID).pictures(box, 30.0)
        assert all(0.2 < pictures[plane][110, 20] < 0.45 for plane in ("Red", "Green"))  # lung isn't black

    def test_a_lung_is_seen_where_most_of_the_picture_is_tissue(self, scan) -> None:
        part = scan[24:40, 14:30, 12:30].copy()  # 24 mm and more, in a frame of 60 mm
        scan[:] = 40
        scan[24:40, 14:30, 12:30] = part
        box = detection((30.0, 20, 19, 34, 24, 22), GRID, 0.9)
        assert 0.2 < np.median(contact_sheet._Scan(scan, GRID).pictures(box, 60.0)["Red"][95:105, 80:90]) < 0.45

    def test_a_picture_is_drawn_in_the_one_plane_it_has(self) -> None:
        assert contact_sheet._Scan(np.zeros((8, 9, 1)) + np.arange(9)[:, None], GRID).planes == ["Red"]


class TestOutline:
    def test_of_a_straight_box_is_its_rectangle(self) -> None:
        box = detection(BOXES[0][0], GRID, 0.9)  # 6 × 6 × 5 voxels of 1.5 × 1.5 × 2 mm
        for plane, half in (("Red", (4.5, 4.5)), ("Green", (4.5, 5.0)), ("Yellow", (4.5, 5.0))):
            np.testing.assert_allclose(np.abs(contact_sheet.outline(box, plane)), [half] * 4)

    def test_of_a_turned_box_is_turned_as_radiologists_see_it(self) -> None:
        box = detection((10.0, 20, 12, 30, 22, 17), TURNED, 0.9)  # 30 mm along i, which points left and, turned, back
        points = contact_sheet.outline(box, "Red")
        far = points[np.argmax(points[:, 0])]
        assert far[0] == pytest.approx(15 * np.cos(np.pi / 6) + 1.5 * np.sin(np.pi / 6), abs=1e-6)
        assert np.sign(far[1]) == np.sign((TURNED @ [1, 0, 0, 0])[1])

    def test_is_closed_in_every_plane_of_an_oblique_box(self) -> None:
        grid = affine("SLP", (1.0, 2.0, 3.0), (0, 0, 0), (20.0, 35.0, 50.0))
        box = detection((1.0, 2, 3, 9, 8, 7), grid, 0.9)
        assert all(len(contact_sheet.outline(box, plane)) in (4, 6) for plane in ("Red", "Green", "Yellow"))


class TestWindow:
    """Lung surrounds a finding, or it does not."""

    BOX = ((30.0, 20, 19, 34, 24, 22), 0.9)

    def window(self, scan: np.ndarray, grid: np.ndarray = GRID) -> tuple[float, float]:
        return windows.window_of(scan, grid, detection(self.BOX[0], grid, 0.9))

    @pytest.mark.parametrize("grid", [GRID, TURNED])
    def test_a_dense_finding_in_lung_is_seen_as_lung(self, scan, grid) -> None:
        scan[30:34, 20:24, 19:22] = 60
        assert self.window(scan, grid) == windows.LUNG

    def test_one_at_the_chest_wall_is_too(self, scan) -> None:
        scan[34:] = 40
        assert self.window(scan) == windows.LUNG

    def test_lung_farther_away_does_not_count(self, scan) -> None:
        scan[20:44, 10:34, 10:32] = 40
        assert self.window(scan) == windows.SOFT_TISSUE

    def test_neither_does_the_air_around_the_patient(self, scan) -> None:
        scan[:] = 40
        scan[:30] = -1000
        assert self.window(scan) == windows.SOFT_TISSUE

    def test_a_finding_at_the_border_is_judged_by_what_there_is(self, scan) -> None:
        assert windows.window_of(scan, GRID, detection((0.0, 0, 0, 2, 2, 2), GRID, 0.9)) == windows.LUNG


class TestCaption:
    def width(self, tmp_path: Path, monkeypatch, told: contact_sheet.Told) -> tuple[str, float]:
        """Return the caption of a sheet of one finding, and the share of the sheet's width at which it ends."""
        from matplotlib.figure import Figure

        drawn = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
        result = detections([BOXES[0]], GRID, SHAPE, provenance=provenance())
        contact_sheet.write_contact_sheet(tmp_path / "s.png", np.zeros(SHAPE), result, [told])
        text = drawn[0].texts[0]
        return text.get_text(), text.get_window_extent().x1 / drawn[0].bbox.width

    def told(self, label: str = "nodule", place: str = "right lung, upper third") -> contact_sheet.Told:
        return contact_sheet.Told(detection(BOXES[0][0], GRID, 0.9, label), place, scene.Review.REJECTED, 12)

    def test_tells_all_where_there_is_room(self, tmp_path, monkeypatch) -> None:
        text, end = self.width(tmp_path, monkeypatch, self.told())
        assert text.startswith("12  nodule 0.90") and "right lung, upper third" in text
        assert text.endswith("rejected") and end < 1

    def test_cuts_the_place_and_never_the_review(self, tmp_path, monkeypatch) -> None:
        place = "left lung, posterior basal segment of the lower lobe, next to the descending aorta"
        text, end = self.width(tmp_path, monkeypatch, self.told(place=place))
        assert "left lung" in text and "…" in text and text.endswith("rejected") and end < 1

    def test_cuts_a_label_that_is_too_long_even_without_a_place(self, tmp_path, monkeypatch) -> None:
        text, end = self.width(tmp_path, monkeypatch, self.told("lung nodule of ground glass " * 8))
        assert text.startswith("12  lung nodule") and text.endswith("rejected") and end < 1


class TestSheetOfATable:
    def drawn(self, table, path: Path, monkeypatch) -> str:
        """Return all that is written on the sheet."""
        from matplotlib.figure import Figure

        figures = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
        scene.write_sheet(table, path)
        return "\n".join(text.get_text() for text in figures[0].texts)

    def test_findings_keep_their_ranks(self, mrml, result, tmp_path, monkeypatch) -> None:
        table = scene.show_findings(result, add_volume(np.zeros(SHAPE, np.int16), GRID))
        mrml.RemoveNode(scene.findings(table)[0].node)
        assert "2  nodule 0.60" in self.drawn(table, tmp_path / "s.png", monkeypatch)

    def test_says_that_not_all_boxes_are_kept(self, mrml, tmp_path, monkeypatch) -> None:
        volume = add_volume(np.zeros(SHAPE, np.int16), GRID)
        table = scene.show_findings(detections([(BOXES[0][0], 1 - n / 900) for n in range(300)], GRID, SHAPE), volume)
        scene.set_threshold(table, 0.999)
        assert "200 of the run's 300 boxes" in self.drawn(table, tmp_path / "s.png", monkeypatch)

    def test_follows_a_scan_that_was_moved_with_its_findings(self, mrml, result, scan, tmp_path, monkeypatch) -> None:
        volume = add_volume(scan, np.linalg.inv(_PARENT) @ GRID)
        transform = set_parent(volume, _PARENT)
        table = scene.show_findings(result, volume)
        transform.SetAndObserveTransformToParent(None)
        seen = []
        pictures = contact_sheet._Scan.pictures
        monkeypatch.setattr(
            contact_sheet._Scan, "pictures", lambda *given: seen.append(pictures(*given)) or seen[-1]
        )  # fmt: skip
        scene.write_sheet(table, tmp_path / "s.png")
        assert (seen[0]["Red"] > 0.7).any(), "the bright mark of the first box"


@pytest.mark.parametrize("count", [0, 1, 5, 9])
def test_a_sheet_of_any_number_of_findings_is_drawn(scan, count: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(contact_sheet, "MOST", 6)
    boxes = [(BOXES[n % 2][0], 0.9 - n / 500) for n in range(count)]
    result = detections(boxes, GRID, SHAPE, provenance=provenance())
    told = [contact_sheet.Told(box, "right lung, upper third") for box in result.boxes]
    contact_sheet.write_contact_sheet(tmp_path / "s.png", scan, result, told)
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
