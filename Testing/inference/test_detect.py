"""Boxes: those of MONAI's own detector, in the grid of the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from DeepImagingLib import Options, load_bundle, plan, run
from DeepImagingLib.errors import BundleError, CancelledError, InputError, MemoryLimitError
from DeepImagingLib.files import as_image
from DeepImagingLib.results import Detections
from Testing.bundles.make_detectors import SPACING, detector_config, write_detector
from Testing.grids import affine

FULL = Options(device="cpu", precision="full")


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return values as of a CT that differ from place to place in patches of some voxels."""
    coarse = torch.from_numpy(np.random.default_rng(seed).random((1, 1, *(max(n // 4, 2) for n in shape)), np.float32))
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return (torch.nn.functional.interpolate(coarse, shape, mode=mode)[0].numpy() * 1300 - 1000).astype(np.float32)


def by_monai(folder: Path, image: MetaTensor) -> dict[str, np.ndarray]:
    """Return the boxes that MONAI's detector gives in the network's grid, as the zoo's inferer calls it."""
    pipeline = load_bundle(folder).build()
    parts = pipeline.detector.parts
    prepared = pipeline.preprocessing({"image": image})["image"]
    whole = parts.inferer is None or prepared[0].numel() < np.prod(parts.inferer.roi_size)
    whole = whole and not pipeline.detector.in_windows
    parts.eval()
    with torch.inference_mode():
        found = parts(prepared.as_tensor()[None], use_inferer=not whole)[0]
    return {name: value.numpy() for name, value in zip(("boxes", "scores", "labels"), found.values(), strict=True)}


def flat(found: Detections, rank: int = 3) -> np.ndarray:
    """Return index boxes (N, 2 rank)."""
    boxes = np.array([box.index_box for box in found.boxes]).reshape(-1, 6)
    return boxes[:, [*range(rank), *range(3, 3 + rank)]]


def straight(shape: tuple[int, ...], seed: int = 0) -> MetaTensor:
    """Return an image in the network's own grid."""
    return as_image(smooth(shape, seed), affine(spacing=SPACING))


CASES = {
    "several windows": ((50, 44, 61), {}),
    "a window larger than the image on some axes": ((70, 20, 61), {}),
    "an image smaller than a window": ((24, 30, 20), {}),
    "the same in windows": ((24, 30, 20), {"force_sliding_window": True}),
    "no windows": ((50, 44, 61), {"detector_ops": []}),
    "gaussian windows, half over each other": (
        (50, 44, 61),
        {"detector_ops": ["$@detector.set_sliding_window_inferer([32, 24, 32], 2, 0.5, mode='gaussian')"]},
    ),
    "scores as they are": (
        (50, 44, 61),
        {"detector_ops": ["$@detector.set_box_selector_parameters(score_thresh=-2.0, apply_sigmoid=False)"]},
    ),
    "other weights of the box code": (
        (50, 44, 61),
        {"initialize": ["$@detector.set_box_coder_weights((2,2,2,1,1,1))"]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_boxes_and_scores_are_those_of_monai(tmp_path: Path, case: str) -> None:
    shape, settings = CASES[case]
    folder = write_detector(tmp_path / "bundle", settings=settings)
    image = straight(shape)
    found, wanted = run(folder, image, FULL), by_monai(folder, image)
    assert len(found.boxes) == len(wanted["boxes"]) > 10
    np.testing.assert_allclose([box.score for box in found.boxes], wanted["scores"], atol=1e-4)
    np.testing.assert_allclose(flat(found), wanted["boxes"], atol=0.1)


def test_boxes_of_several_classes_are_those_of_monai(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "bundle", classes=("solid", "subsolid", "calcified"))
    image = straight((50, 44, 61))
    found, wanted = run(folder, image, FULL), by_monai(folder, image)
    assert [found.labels.index(box.label) for box in found.boxes] == wanted["labels"].tolist()
    assert len({box.label for box in found.boxes}) == 3
    np.testing.assert_allclose(flat(found), wanted["boxes"], atol=0.1)


def test_boxes_of_a_picture_are_those_of_monai(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "bundle", spatial_dims=2, window=(64, 64))
    image = as_image(smooth((150, 121)), affine("LPS", (0.5, 0.5, 1)))
    found, wanted = run(folder, image, FULL), by_monai(folder, image)
    assert len(found.boxes) == len(wanted["boxes"]) > 10
    np.testing.assert_allclose(flat(found, 2), wanted["boxes"], atol=0.1)
    assert found.shape == (150, 121, 1)
    assert found.boxes[0].size[2] == pytest.approx(1)


def test_anchors_may_come_from_sizes_and_ratios(tmp_path: Path) -> None:
    generator = {
        "_target_": "AnchorGenerator",
        "sizes": [[6, 8, 10], [12, 16, 20]],
        "aspect_ratios": [[[1, 0.5]], [[1, 0.5]]],
        "indexing": "xy",
    }
    folder = write_detector(tmp_path / "bundle", settings={"anchor_generator": generator})
    image = straight((50, 44, 61))
    np.testing.assert_allclose(flat(run(folder, image, FULL)), by_monai(folder, image)["boxes"], atol=0.1)


class TestWhereTheyAre:
    def test_a_scan_of_other_spacing_is_resampled_though_the_config_leaves_that_to_the_user(
        self, tmp_path: Path
    ) -> None:
        folder = write_detector(tmp_path / "bundle")
        image = as_image(smooth((90, 80, 50)), affine("LPS", (1.3, 1.3, 3.0), (11, -7, 30)))
        found, wanted = run(folder, image, FULL), by_monai(folder, image)
        prepared = load_bundle(folder).build().preprocessing({"image": image})["image"]
        np.testing.assert_allclose(np.linalg.norm(prepared.affine[:3, :3], axis=0), SPACING)
        middle = (wanted["boxes"][:, :3] + wanted["boxes"][:, 3:]) / 2
        ras = middle @ prepared.affine[:3, :3].numpy().T + prepared.affine[:3, 3].numpy()
        np.testing.assert_allclose([box.center for box in found.boxes], ras, atol=0.1)
        np.testing.assert_allclose(
            [box.size for box in found.boxes],
            np.diff(wanted["boxes"].reshape(-1, 2, 3), axis=1)[:, 0] * SPACING,
            atol=0.1,
        )
        assert any("Spacingd" in note for note in found.provenance.notes)

    def test_a_heatmap_is_highest_where_the_best_box_has_its_anchor(self, tmp_path: Path) -> None:
        folder = write_detector(tmp_path / "bundle", classes=("solid", "subsolid"))
        found = run(folder, straight((48, 48, 64)), Options(device="cpu", precision="full", probabilities=("all",)))
        assert list(found.heatmap) == ["solid", "subsolid"]
        for name, heat in found.heatmap.items():
            assert heat.shape == found.shape and heat.dtype == np.float32
            assert heat.max() == pytest.approx(max(b.score for b in found.boxes if b.label == name), abs=1e-4)

    def test_a_heatmap_of_something_else_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="'liver'; it finds nodule"):
            run(write_detector(tmp_path / "bundle"), straight((24, 24, 24)), Options(probabilities=("liver",)))


class TestMemory:
    TIGHT = Options(device="cpu", precision="full", memory_limit=64 << 20)

    @staticmethod
    def wide(folder: Path, **settings: object) -> Path:
        """Write a detector whose windows of 96³ take twice the memory that there is."""
        config = detector_config(3, 1, (96, 96, 96))
        backbone = config["backbone"] | {"block_inplanes": [64, 64, 64, 64]}
        extractor = config["feature_extractor"] | {"in_channels_list": [64]}
        parts = {"backbone": backbone, "feature_extractor": extractor, **settings}
        return write_detector(folder, window=(96, 96, 96), settings=parts)

    def test_windows_that_do_not_fit_are_made_smaller_which_is_told(self, tmp_path: Path) -> None:
        folder, image = self.wide(tmp_path / "bundle"), straight((96, 96, 97))
        found = run(folder, image, self.TIGHT)
        assert any("Windows of 96 × 96 × 96 voxels don't fit" in note for note in found.provenance.notes)
        assert "MB of 67 MB of memory" in found.provenance.plan
        assert plan(folder, image, FULL).windows == 2

    def test_what_fits_in_no_way_is_refused(self, tmp_path: Path) -> None:
        folder = self.wide(tmp_path / "bundle", size_divisible=[96, 96, 96])
        with pytest.raises(MemoryLimitError, match="needs"):
            run(folder, straight((40, 40, 40)), self.TIGHT)


class TestOnTheWay:
    def test_each_window_is_told_and_a_cancel_is_heard(self, tmp_path: Path) -> None:
        folder = write_detector(tmp_path / "bundle")
        image = straight((50, 44, 61))
        shares: list[float] = []
        run(folder, image, FULL, lambda now: shares.append(now.fraction) if now.stage == "Network" else None)
        assert len(set(shares)) >= plan(folder, image, FULL).windows > 3
        with pytest.raises(CancelledError):
            run(folder, image, FULL, cancel=lambda: len(shares) > 0)


class TestBadInput:
    def test_nothing_found_is_an_empty_answer(self, tmp_path: Path) -> None:
        strict = {"detector_ops": ["$@detector.set_box_selector_parameters(score_thresh=1.0)"]}
        found = run(write_detector(tmp_path / "bundle", settings=strict), straight((40, 40, 40)), FULL)
        assert found.boxes == () and found.labels == ("nodule",)

    def test_thousands_of_boxes_are_capped_and_that_is_told(self, tmp_path: Path) -> None:
        loose = "$@detector.set_box_selector_parameters(0.0, 100000, 0.9999, 100000)"
        folder = write_detector(tmp_path / "bundle", settings={"detector_ops": [loose]})
        found = run(folder, straight((50, 44, 61)), FULL)
        assert len(found.boxes) == 1000
        assert "Only the 1000 boxes with the highest scores were kept." in found.provenance.notes

    def test_candidates_beyond_what_is_kept_of_a_level_are_told(self, tmp_path: Path) -> None:
        image, fine = straight((64, 64, 64)), 3 * 16**3  # three anchors a place of the finer level
        for asked, left_out in ((100_000, fine - 10_000), (11_000, 1000), (10_000, 0)):
            loose = f"$@detector.set_box_selector_parameters(0.0, {asked}, 0.22, 100)"
            folder = write_detector(tmp_path / str(asked), settings={"detector_ops": [loose]})
            notes = [note for note in run(folder, image, FULL).provenance.notes if "were not looked at" in note]
            assert [int(note.split()[0]) for note in notes] == [left_out] * bool(left_out)

    def test_scores_that_are_no_numbers_are_refused(self, tmp_path: Path) -> None:
        folder = write_detector(tmp_path / "bundle")
        weights = torch.load(folder / "models" / "model.pt")
        weights["classification_head.cls_logits.bias"][:] = float("nan")
        torch.save(weights, folder / "models" / "model.pt")
        with pytest.raises(BundleError, match="not numbers"):
            run(folder, straight((40, 40, 40)), FULL)

    @pytest.mark.parametrize("shapes", [[], [[]]])
    def test_no_anchors_is_told(self, tmp_path: Path, shapes: list[object]) -> None:
        folder = write_detector(tmp_path / "bundle")
        text = (folder / "configs" / "inference.json").read_text()
        start, end = text.index('"base_anchor_shapes"'), text.index('"backbone"')
        mended = text[:start] + f'"base_anchor_shapes": {shapes} }}, ' + text[end:]
        (folder / "configs" / "inference.json").write_text(mended)
        with pytest.raises(BundleError, match="anchor"):
            run(folder, straight((40, 40, 40)), FULL)

    def test_anchors_for_other_levels_are_told(self, tmp_path: Path) -> None:
        generator = {
            "_target_": "AnchorGeneratorWithAnchorShape",
            "feature_map_scales": [1, 2, 4],
            "base_anchor_shapes": [[6, 8, 4], [8, 6, 5], [10, 10, 6]],
        }
        folder = write_detector(tmp_path / "bundle", settings={"anchor_generator": generator})
        with pytest.raises(BundleError, match="2 levels"):
            run(folder, straight((40, 40, 40)), FULL)

    def test_two_slices_are_run(self, tmp_path: Path) -> None:
        found = run(write_detector(tmp_path / "bundle"), straight((60, 60, 2)), FULL)
        assert found.shape == (60, 60, 2)

    def test_thick_slices_are_run_with_a_note(self, tmp_path: Path) -> None:
        image = as_image(smooth((60, 60, 12)), affine("LPS", (2.0, 2.0, 12.5)))
        found = run(write_detector(tmp_path / "bundle"), image, FULL)
        assert (
            "The scan's voxels are 5 times as thick as the model's; what is small may be missed."
            in found.provenance.notes
        )

    def test_a_picture_for_a_detector_of_volumes_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="two-dimensional"):
            run(write_detector(tmp_path / "bundle"), as_image(smooth((60, 60)), np.eye(4)), FULL)

    def test_a_scan_of_something_else_is_noted(self, tmp_path: Path) -> None:
        image = as_image(smooth((40, 40, 40)) + 1100, affine(spacing=SPACING))
        found = run(write_detector(tmp_path / "bundle"), image, FULL)
        assert any("expects CT" in note for note in found.provenance.notes)

    def test_mirroring_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="mirrored"):
            run(write_detector(tmp_path / "bundle"), straight((40, 40, 40)), Options(tta="i"))
