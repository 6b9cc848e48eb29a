"""A result as a scene and as a picture: what stands where, and what Slicer will open."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from DeepImagingLib.files import as_image
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.scene import ResultExport, overview, views
from Testing.grids import affine

NO_OPENGL = "no OpenGL library here"
ENDS_AT_ONCE = """
import os, sys
from pathlib import Path
import numpy as np
from DeepImagingLib import scene
from DeepImagingLib.files import as_image
from DeepImagingLib.results import Segment, Segmentation
scene.host()
import slicer
image = as_image(np.ones((1, 8, 8, 8), np.float32), np.eye(4))
result = Segmentation(np.ones((1, 8, 8, 8), np.uint8), np.eye(4), (Segment("a", "A", 0, 1, (1.0, 0.0, 0.0)),))
scene.ResultExport(result, {"scan": image}).write_mrb(Path(sys.argv[1]))
slicer.util.loadScene(sys.argv[1])
assert slicer.util.getNode("scan").GetImageData().GetDimensions() == (8, 8, 8)
os._exit(7)
"""
RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


@pytest.fixture
def torso() -> tuple[Segmentation, dict]:
    """A grey box with a red ball at the patient's right and a green one higher up at the left, in an LPI grid."""
    grid = affine("LPI", (3.0, 3.0, 3.0), (90, 90, 90))
    i, j, k = np.mgrid[0:60, 0:60, 0:60]
    ras = np.einsum("rc,c...->r...", grid, np.stack([i, j, k, np.ones_like(i)]))[:3]
    layer = np.zeros(i.shape, np.uint8)
    layer[np.linalg.norm(ras - np.reshape([50, 0, -40], (3, 1, 1, 1)), axis=0) < 25] = 1
    layer[np.linalg.norm(ras - np.reshape([-50, 0, 40], (3, 1, 1, 1)), axis=0) < 25] = 2
    image = as_image(np.where(np.abs(ras).max(axis=0) < 85, 40, -1000)[None].astype(np.float32), grid)
    segments = (Segment("right", "right", 0, 1, RED), Segment("left", "left", 0, 2, GREEN))
    return Segmentation(layer[None], grid, segments), {"scan": image}


@pytest.fixture
def opengl() -> None:
    """Skip a test of Slicer's own views where nothing can draw them."""
    if not views.can_draw():
        pytest.skip(NO_OPENGL)


def center_of(picture: np.ndarray, channel: int) -> tuple[float, float]:
    """Return row and column (0..1) of the middle of all pixels where one colour channel leads."""
    others = np.delete(picture.astype(int), channel, axis=2).max(axis=2)
    rows, columns = np.nonzero(picture[..., channel] > others + 40)
    assert len(rows), "the colour is nowhere in the picture"
    return rows.mean() / picture.shape[0], columns.mean() / picture.shape[1]


def assert_sides_are_right(pictures: dict[str, np.ndarray]) -> None:
    for view in ("Green", "3D"):  # both balls lie in one coronal plane
        red, green = center_of(pictures[view], 0), center_of(pictures[view], 1)
        assert red[1] < 0.5 < green[1], f"{view}: the patient's right belongs to the left of the picture"
        assert green[0] < 0.5 < red[0], f"{view}: superior belongs to the top"


class TestPictures:
    def test_slicers_own_views_show_the_sides_as_radiologists_expect(self, opengl, torso) -> None:
        assert_sides_are_right(ResultExport(*torso, "CT")._draw())

    def test_the_plain_pictures_show_the_same_sides(self, torso) -> None:
        assert_sides_are_right(ResultExport(*torso, "CT")._draw_plain())

    def test_both_ways_put_a_segment_at_the_same_place(self, opengl, torso) -> None:
        export = ResultExport(*torso, "CT")
        drawn, plain = export._draw()["Green"], export._draw_plain()["Green"]
        for channel in (0, 1):
            assert center_of(drawn, channel) == pytest.approx(center_of(plain, channel), abs=0.03)

    def test_a_scene_that_was_saved_first_looks_the_same(self, opengl, torso, tmp_path: Path) -> None:
        drawn = ResultExport(*torso, "CT")._draw()
        saved_first = ResultExport(*torso, "CT")
        saved_first.write_mrb(tmp_path / "o.mrb")
        for name, picture in saved_first._draw().items():
            assert np.abs(picture.astype(int) - drawn[name]).mean() < 1, name

    def test_the_scan_is_seen_through_the_masks(self, opengl, torso) -> None:
        picture = ResultExport(*torso, "CT")._draw()["Green"]
        grey = (np.ptp(picture.astype(int), axis=2) < 12) & (picture.mean(axis=2) > 90)
        assert grey.mean() > 0.3

    @pytest.mark.parametrize("drawable", [True, False])
    def test_the_overview_is_written_with_and_without_opengl(
        self, torso, tmp_path: Path, monkeypatch, drawable
    ) -> None:
        if drawable and not views.can_draw():
            pytest.skip(NO_OPENGL)
        monkeypatch.setattr(views, "can_draw", lambda: drawable)
        said = []
        compose = overview.compose
        monkeypatch.setattr(overview, "compose", lambda *a: (said.append(a[3]), compose(*a)))
        ResultExport(*torso, "CT").write_png(tmp_path / "o.png")
        assert said == [not drawable], "a picture that matplotlib drew says so"
        assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")


class TestScene:
    def test_slicer_finds_scan_segments_window_and_layout(self, mrml, torso, tmp_path: Path) -> None:
        import slicer

        ResultExport(*torso, "CT").write_mrb(tmp_path / "o.mrb")
        slicer.util.loadScene(str(tmp_path / "o.mrb"), {"clear": True})
        (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        display = volume.GetDisplayNode()
        assert (display.GetWindow(), display.GetLevel()) == (400, 40)
        assert segmentation.GetSegmentation().GetSegment("left").GetColor() == pytest.approx(GREEN)
        assert mrml.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement() == 3
        for name in ("Red", "Green", "Yellow"):
            composite = mrml.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
            assert composite.GetBackgroundVolumeID() == volume.GetID()
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "right", volume)
        assert int(mask.sum()) == int(torso[0].mask("right").sum())

    def test_the_users_own_scene_is_left_alone(self, mrml, torso, tmp_path: Path) -> None:
        before = mrml.GetNumberOfNodes()
        ResultExport(*torso, "CT").write_mrb(tmp_path / "o.mrb")
        assert mrml.GetNumberOfNodes() == before

    def test_no_path_of_the_machine_is_in_it(self, torso, tmp_path: Path) -> None:
        ResultExport(*torso, "CT").write_mrb(tmp_path / "o.mrb")
        with zipfile.ZipFile(tmp_path / "o.mrb") as archive:
            (name,) = [n for n in archive.namelist() if n.endswith(".mrml")]
            assert str(tmp_path) not in archive.read(name).decode()

    def test_nothing_stays_behind_where_the_process_ends_at_once(self, mrml, tmp_path: Path) -> None:
        (tmp_path / "temp").mkdir()
        environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path / "temp"))}
        command = [sys.executable, "-c", ENDS_AT_ONCE, str(tmp_path / "o.mrb")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 7, done.stderr
        assert list((tmp_path / "temp").iterdir()) == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["o.mrb", "temp"]
