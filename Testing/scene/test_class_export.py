"""Classifications as a scene of their own and as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DeepImagingLib import scene
from DeepImagingLib.errors import InputError
from DeepImagingLib.files import as_image
from DeepImagingLib.scene import ClassificationExport
from Testing.classes import classification, heatmap
from Testing.grids import affine

FLAT = affine("LPS", (0.5, 1.0, 1.0))
SHAPE = (60, 40, 1)
RED = (255, 0, 0)


def picture(path: Path) -> np.ndarray:
    """Return a PNG's pixels (rows, columns, 3) as 0..255."""
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(path).convert("RGB")).astype(int)


def gradient() -> np.ndarray:
    """A grey picture (1, I, J, 1) that is bright in its first rows, at the left."""
    values = np.zeros((1, *SHAPE), np.float32)
    values[0, :20, :10] = 200
    return values


def drawn(tmp_path: Path, values: np.ndarray, grid: np.ndarray = FLAT, **further: object) -> np.ndarray:
    result = classification(grid, values.shape[1:], **further)
    ClassificationExport(result, {"image": as_image(values, grid)}).write_png(tmp_path / "a.png")
    return picture(tmp_path / "a.png")


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return first and last row, first and last column of what is marked."""
    rows, columns = np.nonzero(mask)
    return rows.min(), rows.max(), columns.min(), columns.max()


class TestPicture:
    def test_has_the_first_row_on_top_and_true_proportions(self, tmp_path) -> None:
        values = np.zeros((3, *SHAPE), np.float32)
        values[0] = 255
        values[:, :20, :10] = np.reshape([0, 255, 0], (3, 1, 1, 1))
        pixels = drawn(tmp_path, values)
        red, green = (box((pixels == color).all(axis=-1)) for color in (RED, (0, 255, 0)))
        assert green[0] <= red[0] + 2 and green[2] <= red[2] + 2
        height, width = red[1] - min(red[0], green[0]), red[3] - min(red[2], green[2])
        assert height / width == pytest.approx(40 * 1.0 / (60 * 0.5), rel=0.03)

    def test_of_a_volume_has_the_patients_right_on_the_left(self, tmp_path) -> None:
        grid = affine("RAS", (1.0, 1.0, 3.0))
        values = np.zeros((3, 40, 40, 6), np.float32)
        values[2] = 255
        values[:, 30:, 30:] = np.reshape(RED, (3, 1, 1, 1))  # right, anterior
        pixels = drawn(tmp_path, values, grid)
        red, blue = (box((pixels == color).all(axis=-1)) for color in (RED, (0, 0, 255)))
        assert red[0] <= blue[0] + 2 and red[1] < blue[1] - 50
        assert abs(red[3] - blue[3]) > 50 > abs(red[2] - blue[2])

    @pytest.mark.parametrize("slices", [True, False])
    def test_of_a_volume_shows_the_slice_that_tells_most(self, tmp_path, slices) -> None:
        values = np.zeros((3, 30, 30, 8), np.float32)
        values[2] = 255
        values[..., 6] = np.reshape(RED, (3, 1, 1))
        course = np.full((8, 3), 0.1)
        course[6, 1] = 0.83
        further = {"slices": course} if slices else {"heatmaps": (heatmap((30, 30, 8), at=(15, 15, 6)),)}
        pixels = drawn(tmp_path, values, affine("LPS"), **further)
        assert (pixels == RED).all(axis=-1).any() and not (pixels == (0, 0, 255)).all(axis=-1).any()

    def test_has_a_bar_for_what_is_found_and_a_grey_one_for_what_looks_like_nothing_known(self, tmp_path) -> None:
        known = drawn(tmp_path, gradient())
        unlike = drawn(tmp_path, gradient(), unlike=1.0)
        orange = (0xF2, 0xA3, 0x3A)
        assert (known == orange).all(axis=-1).any() and not (unlike == orange).all(axis=-1).any()
        warning = (0xFF, 0x8C, 0x5A)
        assert (unlike == warning).all(axis=-1).any() and not (known == warning).all(axis=-1).any()

    def test_draws_each_heatmap_where_it_is_high(self, tmp_path) -> None:
        maps = tuple(heatmap(SHAPE, label, at=(45, 30, 0)) for label in ("effusion", "nodule"))
        pixels = drawn(tmp_path, gradient(), heatmaps=maps)
        assert pixels.shape[0] > 1.8 * drawn(tmp_path, gradient()).shape[0]
        lower = pixels[pixels.shape[0] // 2 :, : pixels.shape[1] // 3]
        rows, columns = np.nonzero(np.ptp(lower[..., :3], axis=-1) > 60)
        assert len(rows) > 100 and np.median(rows) > lower.shape[0] * 0.4 and np.median(columns) > lower.shape[1] * 0.4

    def test_is_drawn_of_many_labels_and_of_values_that_are_no_numbers(self, tmp_path) -> None:
        values = gradient()
        values[0, 50] = np.nan
        many = {
            "labels": tuple(f"label number {n} of many" for n in range(40)),
            "probabilities": (0.5,) * 40,
            "thresholds": (0.5,) * 40,
            "uncalibrated": (),
        }
        assert drawn(tmp_path, values, **many).std() > 10

    def test_of_a_table_is_in_the_colours_of_the_scene(self, mrml, volume, blob, tmp_path) -> None:
        result = classification(scene.read(volume).affine.numpy(), blob.shape, heatmaps=(heatmap(blob.shape),))
        table = scene.show_classes(result, volume)
        scene.write_class_picture(table, tmp_path / "fit.png")
        display = scene.shown_heatmaps(table)[0].node.GetDisplayNode()
        display.SetWindowLevelMinMax(0.0, 40.0)
        scene.write_class_picture(table, tmp_path / "dark.png")
        coloured = [int((np.ptp(picture(tmp_path / name), axis=-1) > 60).sum()) for name in ("fit.png", "dark.png")]
        assert coloured[0] > coloured[1]
        mrml.RemoveNode(volume)
        with pytest.raises(InputError, match="removed from the scene"):
            scene.write_class_picture(table, tmp_path / "gone.png")


class TestScene:
    def load(self, path: Path) -> None:
        import slicer

        slicer.util.loadScene(str(path), {"clear": True})

    def test_opens_with_the_heatmap_over_the_image(self, mrml, tmp_path) -> None:
        import slicer

        result = classification(FLAT, SHAPE, heatmaps=(heatmap(SHAPE),))
        path = tmp_path / "a.mrb"
        assert ClassificationExport(result, {"X-ray": as_image(gradient(), FLAT)}).write_mrb(path) == [path]
        self.load(path)
        table = next(t for t in slicer.util.getNodesByClass("vtkMRMLTableNode") if t.GetName() == "X-ray classes")
        assert scene.classification_of(table) == result
        (shown,) = scene.shown_heatmaps(table)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(shown.node).T, result.heatmaps[0].values)
        views = scene.slice_composites(mrml)
        assert {view.GetForegroundVolumeID() for view in views} == {shown.node.GetID()}
        assert {view.GetBackgroundVolumeID() for view in views} == {scene.image_of(table).GetID()}

    @pytest.mark.parametrize("scale", [1.0, 1 / 255])
    def test_keeps_the_colours_of_a_picture(self, mrml, tmp_path, scale) -> None:
        import slicer

        values = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)
        result = replace(classification(FLAT, SHAPE), exclusive=True)
        path = tmp_path / "a.mrb"
        ClassificationExport(result, {"frame": as_image(values * np.float32(scale), FLAT)}).write_mrb(path)
        self.load(path)
        (node,) = slicer.util.getNodesByClass("vtkMRMLVectorVolumeNode")
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).transpose(3, 2, 1, 0), values)
        np.testing.assert_allclose(scene.voxels(node).affine, FLAT)
