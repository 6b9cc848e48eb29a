"""Findings in the scene: boxes where they are in the patient, a table, reviews that stay, and the way back out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Detections, Segment, Segmentation
from DeepImagingLib.scene import detections as under_test
from Testing.boxes import detection, detections, provenance
from Testing.grids import AXIS_CODES, affine
from Testing.scene.nodes import add_volume, nodes_in, set_parent

ROI = "vtkMRMLMarkupsROINode"
SHAPE = (20, 24, 16)
BOXES = [
    ((2.0, 3.0, 4.0, 6.0, 9.0, 8.0), 0.9),
    ((10.0, 10.0, 5.0, 14.0, 13.0, 9.0), 0.6),
    ((1.0, 1.0, 1.0, 3, 3, 3), 0.2),
]
TURN = affine("RAS", (1.0, 1.0, 1.0), (5.0, -40.0, 12.0), (20.0, -30.0, 50.0))


@pytest.fixture
def grid(volume):
    import slicer

    return slicer.util.arrayFromVTKMatrix(_matrix(volume))


@pytest.fixture
def result(grid) -> Detections:
    return detections(BOXES, grid, SHAPE, provenance=provenance())


@pytest.fixture
def table(volume, result):
    return scene.show_findings(result, volume)


def _matrix(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def corners_of(node) -> np.ndarray:
    """Return the corners of a box (8, 3) RAS mm of the world as the views have them, sorted."""
    import slicer

    to_world = slicer.util.arrayFromVTKMatrix(node.GetObjectToWorldMatrix())
    signs = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, 8)
    return _sorted((to_world[:3, :3] @ (signs * np.reshape(node.GetSize(), (3, 1)))).T + to_world[:3, 3])


def corners_by_index(index_box, ijk_to_ras) -> np.ndarray:
    low, high = np.reshape(index_box, (2, 3))
    ijk = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, 8)
    return _sorted((ijk_to_ras @ np.r_[ijk, np.ones((1, 8))])[:3].T)


def _sorted(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(np.round(points, 3).T)]


def column(table, name: str) -> list:
    found = table.GetTable().GetColumnByName(name)
    return [found.GetValue(row) for row in range(found.GetNumberOfValues())]


class TestBoxes:
    @pytest.mark.parametrize("code", AXIS_CODES)
    def test_lie_on_their_voxels_in_every_orientation(self, mrml, code: str) -> None:
        grid = affine(code, (0.7, 1.0, 2.5), (10, -20, 30), (15.0, 25.0, -35.0))
        volume = add_volume(np.zeros(SHAPE, np.int16), grid)
        table = scene.show_findings(detections(BOXES[:1], grid, SHAPE), volume)
        (box,) = scene.findings(table)
        np.testing.assert_allclose(corners_of(box.node), corners_by_index(BOXES[0][0], grid), atol=1e-3)
        scene.remove(table)

    @pytest.mark.parametrize("code", ["RAS", "LPS", "PSR", "LAI"])
    @pytest.mark.parametrize("stretch", [1.0, 1.5])
    def test_follow_the_parent_transform_of_the_volume(self, mrml, code: str, stretch: float) -> None:
        parent = TURN @ np.diag([stretch, stretch, stretch, 1.0])
        grid = affine(code, (0.7, 1.0, 2.5), (10, -20, 30))
        volume = add_volume(np.zeros(SHAPE, np.int16), grid)
        transform = set_parent(volume, parent)
        table = scene.show_findings(detections(BOXES[:1], parent @ grid, SHAPE), volume)
        (box,) = scene.findings(table)
        assert box.node.GetParentTransformNode() is transform
        np.testing.assert_allclose(corners_of(box.node) if stretch == 1 else _stretched(box.node, stretch),
                                   corners_by_index(BOXES[0][0], parent @ grid), atol=1e-3)  # fmt: skip
        scene.remove(table)

    def test_are_locked_and_coloured_by_score(self, table) -> None:
        first, second, _ = [finding.node for finding in scene.findings(table)]
        assert first.GetLocked() and second.GetLocked()
        red, green, _ = first.GetDisplayNode().GetSelectedColor()
        assert red - green > 0.5  # a high score is red, a lower one more yellow
        assert second.GetDisplayNode().GetSelectedColor()[1] > green

    def test_only_those_at_or_above_the_threshold_are_seen(self, table) -> None:
        assert [bool(f.node.GetDisplayNode().GetVisibility()) for f in scene.findings(table)] == [True, True, False]
        scene.set_threshold(table, 0.6)
        assert column(table, "Rank") == [1, 2]
        scene.set_threshold(table, 0.61)
        assert [bool(f.node.GetDisplayNode().GetVisibility()) for f in scene.findings(table)] == [True, False, False]
        scene.set_threshold(table, 0.0)
        assert column(table, "Rank") == [1, 2, 3]

    def test_nothing_found_is_an_empty_table(self, volume, grid) -> None:
        table = scene.show_findings(detections([], grid, SHAPE), volume)
        assert table.GetNumberOfRows() == 0 and table.GetNumberOfColumns() > 8
        assert scene.findings(table) == []

    def test_of_thousands_the_best_are_shown_and_the_table_says_so(self, volume, grid) -> None:
        many = [(BOXES[0][0], 1 - n / 5000) for n in range(3000)]
        table = scene.show_findings(detections(many, grid, SHAPE), volume)
        assert len(scene.findings(table)) == under_test.MOST_SHOWN
        assert "3000" in table.GetDescription()


def _stretched(node, stretch: float) -> np.ndarray:
    """Return the corners, where the matrix to the world has no scale in it and sizes are those of the node itself."""
    import slicer

    to_world = slicer.util.arrayFromVTKMatrix(node.GetObjectToWorldMatrix())
    scale = np.linalg.norm(to_world[:3, :3], axis=0)
    corners = corners_of(node)
    return _sorted((corners - to_world[:3, 3]) * (stretch / scale[0]) + to_world[:3, 3])


class TestTable:
    def test_says_what_each_finding_is_and_where(self, table, result) -> None:
        first = result.boxes[0]
        assert column(table, "Label") == ["nodule", "nodule"]
        assert column(table, "Score") == [0.9, 0.6]
        assert [column(table, f"Center {axis} (mm)")[0] for axis in "RAS"] == pytest.approx(first.center)
        assert column(table, "Volume (mL)")[0] == pytest.approx(np.pi / 6 * 4 * 6 * 8 / 1000)
        assert column(table, "Review") == ["not reviewed"] * 2

    def test_names_diameters_by_the_patients_axes(self, mrml) -> None:
        grid = affine("SLP", (2.0, 1.0, 1.0))  # i up, j to the left, k to the back
        volume = add_volume(np.zeros(SHAPE, np.int16), grid)
        table = scene.show_findings(detections([((0.0, 0, 0, 5.0, 3.0, 4.0), 0.9)], grid, SHAPE), volume)
        assert [column(table, f"{axes} (mm)")[0] for axes in ("R-L", "A-P", "S-I")] == [3.0, 4.0, 10.0]

    def test_has_a_column_for_what_else_the_bundle_tells(self, volume, grid) -> None:
        boxes = (detection(BOXES[0][0], grid, 0.9, more={"malignancy": 0.7}), detection(BOXES[1][0], grid, 0.8))
        table = scene.show_findings(Detections(boxes, ("nodule",), 0.5, SHAPE, grid), volume)
        told, missing = column(table, "malignancy")
        assert told == 0.7 and np.isnan(missing)

    def test_tells_places_where_a_segmentation_is_at_hand(self, volume, grid, result) -> None:
        import slicer

        lung = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "anatomy")
        lung.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        mask = np.zeros(SHAPE[::-1], np.uint8)
        mask[:, :, :8] = 1  # the lower i, in this grid the patient's right; the first box, not the second
        lung.GetSegmentation().AddEmptySegment("a", "lung_right")
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, lung, "a", volume)
        table = scene.show_findings(result, volume, anatomy=lung)
        first, second, _ = scene.findings(table)
        assert first.place == "right lung, middle third"
        assert second.place.startswith("right lung"), "it is beside it, and nowhere else"
        assert column(table, "Place")[0] == first.place

    def test_tells_places_by_what_a_model_made_of_the_volume(self, volume, result) -> None:
        assert scene.anatomy_of(volume) is None
        made = scene.show(_lungs(volume), volume)
        assert scene.anatomy_of(volume) is made
        table = scene.show_findings(result, volume, anatomy=scene.anatomy_of(volume))
        assert scene.findings(table)[0].place == "right lung, middle third"

    def test_tells_places_by_the_newest_segmentation_that_can_tell_any(self, mrml, volume) -> None:
        scene.show(_lungs(volume), volume)
        newest = scene.show(_lungs(volume), volume)
        empty = mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "begun")
        empty.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        bent = scene.show(_lungs(volume), volume)
        _bend(bent)
        assert scene.anatomy_of(volume) is newest

    def test_says_why_there_are_no_places_under_a_non_linear_transform(self, volume, result) -> None:
        anatomy = scene.show(_lungs(volume), volume)
        _bend(anatomy)
        table = scene.show_findings(result, volume, anatomy=scene.anatomy_of(volume))
        assert [finding.place for finding in scene.findings(table)] == ["", "", ""]
        assert "non-linear" in table.GetDescription()

    def test_follows_what_a_user_deletes(self, mrml, table) -> None:
        mrml.RemoveNode(scene.findings(table)[0].node)
        scene.relist(table)
        assert column(table, "Rank") == [2]

    def test_is_left_alone_where_nothing_changed(self, table) -> None:
        before = table.GetTable()
        scene.relist(table)
        assert table.GetTable() is before


def _lungs(volume) -> Segmentation:
    layers = np.zeros((1, *SHAPE), np.uint8)
    layers[0, :8] = 1  # the lower i, in this grid the patient's right
    grid = np.array([[_matrix(volume).GetElement(row, column) for column in range(4)] for row in range(4)])
    segment = Segment("lung_right", "lung_right", 0, 1, (1.0, 0.0, 0.0))
    return Segmentation(layers, grid, (segment,), True, provenance("organs"))


def _bend(node) -> None:
    """Put a node under a transform that Slicer can't tell from a non-linear one."""
    import slicer
    import vtk

    grid = vtk.vtkImageData()
    grid.SetDimensions(2, 2, 2)
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    grid.GetPointData().GetScalars().Fill(0.0)
    displacement = slicer.vtkOrientedGridTransform()
    displacement.SetDisplacementGridData(grid)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    transform.SetAndObserveTransformToParent(displacement)
    node.SetAndObserveTransformNodeID(transform.GetID())


class TestMoved:
    """What the transform above a scan and its findings does to them after the run."""

    @pytest.fixture(params=["RAS", "LPS", "PSR", "LAI"])
    def moved(self, mrml, request):
        """A table whose parent transform was moved, and where the voxels are since."""
        grid = affine(request.param, (0.7, 1.0, 2.5), (10, -20, 30))
        volume = add_volume(np.zeros(SHAPE, np.int16), grid)
        transform = set_parent(volume, TURN)
        table = scene.show_findings(detections(BOXES, TURN @ grid, SHAPE), volume)
        now = affine("RAS", (1.0, 1.0, 1.0), (100.0, 7.0, -3.0), (40.0, 10.0, -20.0))
        _set_matrix(transform, now)
        return table, now @ grid

    def test_findings_are_where_their_nodes_are(self, moved) -> None:
        table, voxels = moved
        for finding, (index_box, score) in zip(scene.findings(table), BOXES, strict=True):
            expected = detection(index_box, voxels, score)
            assert finding.detection.center == pytest.approx(expected.center)
            assert finding.detection.size == pytest.approx(expected.size)
            np.testing.assert_allclose(finding.detection.axes, expected.axes, atol=1e-9)

    def test_detections_keep_boxes_and_voxels_together(self, moved) -> None:
        table, voxels = moved
        np.testing.assert_allclose(scene.detections_of(table).affine, voxels, atol=1e-6)

    def test_the_table_follows(self, moved) -> None:
        table, _ = moved
        scene.relist(table)
        assert column(table, "Center R (mm)")[0] == pytest.approx(scene.findings(table)[0].node.GetCenterWorld()[0])

    def test_a_box_that_was_widened_alone_has_other_voxels_of_the_same_grid(self, mrml, volume, grid) -> None:
        table = scene.show_findings(detections(BOXES[:1], grid, SHAPE), volume)
        (box,) = scene.findings(table)
        before = box.detection
        box.node.SetSize(*(2 * length for length in before.size))
        after = scene.detections_of(table)
        np.testing.assert_allclose(after.affine, grid)
        low, high = np.reshape(BOXES[0][0], (2, 3))
        np.testing.assert_allclose(after.boxes[0].index_box, [*(1.5 * low - high / 2), *(1.5 * high - low / 2)])
        scene.remove(table)

    def test_a_further_number_called_as_a_column_has_one_of_its_own(self, volume, result) -> None:
        boxes = tuple(replace(box, more={"Score": 7.0}) for box in result.boxes)
        table = scene.show_findings(replace(result, boxes=boxes), volume)
        assert column(table, "Score")[0] == 0.9 and column(table, "Score (model)")[0] == 7

    def test_a_box_that_was_moved_alone_leaves_the_voxels_where_they_are(self, volume, table, result) -> None:
        set_parent(scene.findings(table)[0].node, TURN)
        back = scene.detections_of(table)
        assert back.boxes[0].center != result.boxes[0].center and back.boxes[1:] == result.boxes[1:]
        np.testing.assert_array_equal(back.affine, result.affine)


def _set_matrix(transform, matrix: np.ndarray) -> None:
    import slicer

    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))


class TestReview:
    def test_is_kept_in_the_nodes_and_seen(self, table) -> None:
        first, second, _ = scene.findings(table)
        scene.set_review(table, first.node, scene.Review.ACCEPTED)
        scene.set_review(table, second.node, scene.Review.REJECTED)
        assert [finding.review for finding in scene.findings(table)] == [
            scene.Review.ACCEPTED, scene.Review.REJECTED, scene.Review.NONE,
        ]  # fmt: skip
        assert column(table, "Review") == ["accepted", "rejected"]
        assert len(set(second.node.GetDisplayNode().GetSelectedColor())) == 1  # grey
        scene.set_review(table, second.node, scene.Review.NONE)
        assert len(set(second.node.GetDisplayNode().GetSelectedColor())) > 1

    def test_comes_back_with_the_scene_as_all_else_does(self, mrml, table, result, tmp_path) -> None:
        import slicer

        scene.set_review(table, scene.findings(table)[1].node, scene.Review.REJECTED)
        scene.set_threshold(table, 0.1)
        before = [(corners_of(f.node), f.rank) for f in scene.findings(table)]
        assert slicer.util.saveScene(str(tmp_path / "all.mrb"))
        slicer.util.loadScene(str(tmp_path / "all.mrb"), {"clear": True})
        (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
        found = scene.findings(table)
        assert [f.review.value for f in found] == ["not reviewed", "rejected", "not reviewed"]
        for finding, (corners, rank) in zip(found, before, strict=True):
            assert finding.rank == rank and finding.node.GetLocked()
            np.testing.assert_allclose(corners_of(finding.node), corners, atol=1e-3)
        back = scene.detections_of(table)
        assert (back.boxes, back.labels, back.shape) == (result.boxes, result.labels, result.shape)
        assert back.threshold == 0.5 and scene.threshold_of(table) == 0.1
        assert back.provenance.bundle == "tiny_detection"
        np.testing.assert_allclose(back.affine, result.affine)
        scene.remove(table)
        assert not slicer.util.getNodesByClass(ROI)


class TestJump:
    def test_brings_all_slice_views_there_and_frames_the_finding(self, mrml, table) -> None:
        from DeepImagingLib.scene import views

        views.add_layout(mrml)
        finding = scene.findings(table)[0]
        scene.jump(finding.node)
        for name in views.SLICE_VIEWS:
            view = mrml.GetSingletonNode(name, "vtkMRMLSliceNode")
            middle = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
            assert middle == pytest.approx(finding.detection.center, abs=1e-4)
            assert min(view.GetFieldOfView()[:2]) == pytest.approx(50.0)


class TestScene:
    def test_removal_takes_all_that_was_added(self, mrml, volume, grid, result) -> None:
        heat = {"nodule": np.random.default_rng(0).random(SHAPE, np.float32)}
        before = nodes_in(mrml)
        table = scene.show_findings(replace(result, heatmap=heat), volume)
        (heatmap,) = scene.probability_volumes(table)
        assert heatmap.GetName() == "nodule score"
        np.testing.assert_allclose(_array(heatmap), heat["nodule"])
        scene.remove(table)
        assert nodes_in(mrml) == before

    def test_removal_leaves_copies_and_other_results(self, mrml, volume, result, table) -> None:
        other = scene.show_findings(result, volume)
        copy = mrml.AddNewNodeByClass(ROI, "copy")
        copy.Copy(scene.findings(table)[0].node)
        scene.remove(table)
        assert copy.GetScene() is mrml and len(scene.findings(other)) == 3

    def test_all_stands_under_one_folder(self, mrml, table) -> None:
        import slicer

        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(mrml)
        parents = {
            hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
            for node in (table, *(finding.node for finding in scene.findings(table)))
        }
        assert [hierarchy.GetItemName(parent) for parent in parents] == ["tiny_detection"]

    def test_boxes_of_an_earlier_result_of_the_scan_are_hidden(self, mrml, volume, result, table) -> None:
        other = add_volume(np.zeros(SHAPE, np.int16), result.affine, "another scan")
        elsewhere = scene.show_findings(result, other)
        again = scene.show_findings(result, volume)
        assert [_seen(one) for one in (table, elsewhere, again)] == [0, 2, 2]

    def test_boxes_of_another_model_stay_seen(self, volume, result, table) -> None:
        other = scene.show_findings(replace(result, provenance=provenance("ribs")), volume)
        assert [_seen(one) for one in (table, other)] == [2, 2]

    def test_a_box_that_lost_its_display_node_gets_another(self, mrml, table) -> None:
        scene.set_review(table, scene.findings(table)[1].node, scene.Review.REJECTED)
        for finding in scene.findings(table):
            mrml.RemoveNode(finding.node.GetDisplayNode())
        scene.relist(table)
        assert _seen(table) == 2
        display = scene.findings(table)[1].node.GetDisplayNode()
        assert len(set(display.GetSelectedColor())) == 1 and not display.GetFillVisibility()

    @pytest.mark.parametrize("change", ["slider", "review", "boxes"])
    def test_a_lost_display_node_breaks_nothing(self, mrml, table, tmp_path, change: str) -> None:
        first = scene.findings(table)[0].node
        mrml.RemoveNode(first.GetDisplayNode())
        if change == "slider":
            scene.set_threshold(table, 0.3)
        elif change == "review":
            scene.set_review(table, first, scene.Review.ACCEPTED)
        else:
            scene.write_markups(table, tmp_path / "f.mrk.json")
        assert first.GetDisplayNode() is not None and first.GetDisplayNode().GetVisibility()

    def test_findings_that_a_user_deletes_are_gone(self, mrml, table) -> None:
        mrml.RemoveNode(scene.findings(table)[0].node)
        scene.set_threshold(table, 0.5)
        assert [finding.rank for finding in scene.findings(table)] == [2, 3]
        assert column(table, "Rank") == [2]

    def test_a_failure_leaves_the_scene_as_it_was(self, mrml, volume, result, monkeypatch) -> None:
        def fail(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(under_test, "set_threshold", fail)
        before = nodes_in(mrml)
        with pytest.raises(KeyboardInterrupt):
            scene.show_findings(result, volume)
        assert nodes_in(mrml) == before and not mrml.IsBatchProcessing()

    def test_a_volume_that_was_moved_since_is_an_error(self, mrml, volume, result) -> None:
        set_parent(volume, TURN)
        before = nodes_in(mrml)
        with pytest.raises(InputError, match="moved"):
            scene.show_findings(result, volume)
        assert nodes_in(mrml) == before


def _seen(table) -> int:
    """Return how many boxes of a result the views show."""
    return sum(bool(finding.node.GetDisplayNode().GetVisibility()) for finding in scene.findings(table))


def _array(volume) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromVolume(volume).T
