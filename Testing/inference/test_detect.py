"""Boxes: those of MONAI's own detector, in the grid of the input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from DeepImagingLib import Options, load_bundle, plan, run
from DeepImagingLib.errors import BundleError, CancelledError, InputError, MemoryLimitError
from DeepImagingLib.files import as_image
from DeepImagingLib.inference.heads import bytes_of_sums
from DeepImagingLib.inference.ladder import Way
from DeepImagingLib.inference.plan import Need
from DeepImagingLib.inference.windows import windows_of
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


def told(folder: Path, image: MetaTensor, further: Callable[[torch.Tensor], dict[str, Any]]) -> Detections:
    """Run a detector whose network also gives what is made of each level's scores (B, A C, ...)."""
    pipeline = load_bundle(folder).build()
    parts = pipeline.detector.parts
    parts.network = Talkative(parts.network, further).eval()
    return run(folder, image, FULL, build=lambda *_: pipeline)


class Talkative(torch.nn.Module):
    """A RetinaNet with further outputs."""

    def __init__(self, network: torch.nn.Module, further: Callable[[torch.Tensor], dict[str, Any]]) -> None:
        super().__init__()
        self.network, self.further = network, further

    def forward(self, images: torch.Tensor) -> dict[str, Any]:
        output = self.network(images)
        more = [self.further(scores) for scores in output[self.network.cls_key]]
        return output | {name: [level[name] for level in more] for name in more[0]}


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


def test_an_image_may_be_made_of_others_on_the_way(tmp_path: Path) -> None:
    first, *others = detector_config(3, 1, (32, 32, 32))["preprocessing"]["transforms"]
    joined = [{**first, "keys": "a"}, {**others[0], "keys": "a"}]
    joined += [{"_target_": "ConcatItemsd", "keys": ["a"], "name": "image"}, *others[1:]]
    folder = write_detector(tmp_path, settings={"preprocessing": {"_target_": "Compose", "transforms": joined}})
    assert len(run(folder, straight((40, 32, 32)), FULL).boxes)


class TestFurtherNumbers:
    @pytest.mark.parametrize(("dims", "shape"), [(3, (50, 44, 61)), (2, (90, 70))])
    def test_each_box_has_those_of_its_own_anchor(self, tmp_path: Path, dims: int, shape: tuple[int, ...]) -> None:
        folder = write_detector(tmp_path / "bundle", spatial_dims=dims, window=(32,) * dims)
        image = straight(shape) if dims == 3 else as_image(smooth(shape), affine("LPS", (0.5, 0.5, 1)))
        found = told(folder, image, lambda scores: {"half": scores / 2})
        plain = run(folder, image, FULL)
        assert [(box.score, box.index_box) for box in found.boxes] == [
            (box.score, box.index_box) for box in plain.boxes
        ]
        score = np.array([box.score for box in found.boxes])
        np.testing.assert_allclose(
            [box.more["half"] for box in found.boxes], np.log(score / (1 - score)) / 2, atol=1e-4
        )
        assert all(box.more == {} for box in plain.boxes)

    def test_those_of_several_channels_are_counted(self, tmp_path: Path) -> None:
        folder = write_detector(tmp_path / "bundle")
        found = told(
            folder, straight((40, 40, 40)), lambda s: {"grade": torch.stack([s, -s], 2).flatten(1, 2), "one": 0 * s + 1}
        )
        for box in found.boxes:
            assert list(box.more) == ["grade_0", "grade_1", "one"]
            assert box.more["grade_0"] == pytest.approx(-box.more["grade_1"]) and box.more["one"] == pytest.approx(1)
            assert box.more["grade_0"] == pytest.approx(np.log(box.score / (1 - box.score)), abs=1e-4)

    @pytest.mark.parametrize(
        "other",
        [lambda s: s[..., ::2], lambda s: s[:, :2], lambda s: "high", lambda s: s[0, 0, 0, 0, 0], lambda s: s > 0],
    )
    def test_what_is_not_on_the_anchors_is_left_out_and_told(self, tmp_path: Path, other: Any) -> None:
        folder = write_detector(tmp_path / "bundle")
        found = told(folder, straight((40, 40, 40)), lambda s: {"kept": s, "lost": other(s)})
        assert all(list(box.more) == ["kept"] for box in found.boxes)
        (note,) = [note for note in found.provenance.notes if "'lost'" in note]
        assert "left out" in note and "kept" not in note

    def test_features_are_no_numbers_of_an_anchor(self, tmp_path: Path) -> None:
        found = told(
            write_detector(tmp_path), straight((40, 32, 32)), lambda scores: {"features": scores.repeat(1, 40, 1, 1, 1)}
        )
        assert not found.boxes[0].more and any("features" in note for note in found.provenance.notes)

    def test_what_is_no_number_is_left_out_and_told(self, tmp_path: Path) -> None:
        folder = write_detector(tmp_path / "bundle")
        found = told(folder, straight((40, 40, 40)), lambda s: {"known": s, "bad": torch.where(s > -1, s, torch.nan)})
        lacking = [box for box in found.boxes if "bad" not in box.more]
        assert 0 < len(lacking) < len(found.boxes) and all("known" in box.more for box in lacking)
        note = f"'bad' is no number for {len(lacking)} boxes and was left out there."
        assert note in found.provenance.notes

    def test_they_are_part_of_what_is_planned(self) -> None:
        windows = windows_of(SlidingWindowInferer((32, 32, 32), 1, 0.25), (64, 64, 64))
        two, three = ([(3, 8, 8, 8), (18, 8, 8, 8), (6, 8, 8, 8)][:count] for count in (2, 3))
        more = bytes_of_sums(windows, three, 1) - bytes_of_sums(windows, two, 1)
        assert more == 9 * 16 * 16 * (6 + 1) * 4  # planes of a window and one, over the grid


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

    @pytest.mark.parametrize("call", [run, plan])
    def test_an_image_too_large_to_prepare_is_refused_before_it_is(self, tmp_path: Path, call: Any) -> None:
        image = as_image(smooth((44, 44, 44)), affine("LPS", (8.0, 8.0, 10.0)))  # 173³ voxels of the model's
        stages: list[str] = []
        with pytest.raises(MemoryLimitError, match=r"needs 83 MB .* region of about 90 %"):
            call(write_detector(tmp_path / "bundle"), image, self.TIGHT, lambda now: stages.append(now.stage))
        assert not image.pending_operations, "what was told of its size leaves no trace"
        assert "Loading the model" in stages and "Preprocessing" not in stages

    def test_the_image_is_part_of_the_plan(self, tmp_path: Path) -> None:
        folder = write_detector(tmp_path / "bundle", settings={"force_sliding_window": True})
        need = plan(folder, straight((50, 44, 61)), FULL).need
        assert (need.image, need.preparing) == (4 * 56 * 48 * 64, 4 * 4 * 50 * 44 * 61)
        thin = plan(folder, straight((50, 44, 20)), FULL).need
        assert thin.image == 4 * 56 * 48 * (24 + 32), "with its copy that windows pad"

    def test_the_image_stays_on_the_host_of_a_gpu(self) -> None:
        gpu = Way(torch.device("cuda"), torch.device("cuda"), 1, torch.float32)
        need = Need(100, 10, 1, cells=0, image=1000, preparing=0)
        assert (need.on_device(gpu), need.on_host(gpu)) == (110, 1001)
        assert replace(need, preparing=5000).on_host(gpu) == 5000


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
        assert len(found.boxes) == 1000 > len(found.findings)
        assert not any("were kept" in note for note in found.provenance.notes), "no finding is missing"
        metadata = json.loads((folder / "configs" / "metadata.json").read_text()) | {"score_threshold": 0.1}
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
        found = run(folder, straight((50, 44, 61)), FULL)
        assert len(found.boxes) == len(found.findings) == 1000
        assert "Only the 1000 boxes with the highest scores were kept; more reach 0.1." in found.provenance.notes

    def test_as_many_boxes_as_are_kept_are_not_called_capped(self, tmp_path: Path) -> None:
        image, least = straight((50, 44, 61)), 0.35
        strict = f"$@detector.set_box_selector_parameters({least}, 200, 0.22, {{}})"
        count = len(run(self.with_selector(tmp_path / "all", strict.format(1000)), image, FULL).boxes)
        assert count > 3
        for most in (count, count - 1):
            found = run(self.with_selector(tmp_path / str(most), strict.format(most)), image, FULL)
            assert len(found.boxes) == most
            assert any("were kept" in note for note in found.provenance.notes) == (most < count)

    @staticmethod
    def with_selector(folder: Path, selector: str) -> Path:
        return write_detector(folder, settings={"detector_ops": [selector]})

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
        with pytest.raises(BundleError, match="has no anchors; give its generator a shape"):
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

    @pytest.mark.parametrize("shape", [(60, 60, 2), (160, 160, 2), (2, 60, 60), (60, 60, 3)])
    def test_few_slices_are_run_with_a_note(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        found = run(write_detector(tmp_path / "bundle"), straight(shape), FULL)
        assert found.shape == shape
        note = f"There are only {min(shape)} slices, too few to find anything reliably."
        assert note in found.provenance.notes

    def test_a_scan_thinner_than_any_stride_is_refused(self, tmp_path: Path) -> None:
        folder = write_detector(tmp_path / "bundle", settings={"size_divisible": [2, 2, 2]})
        with pytest.raises(InputError, match="The scan is too small for this detector"):
            run(folder, straight((160, 160, 2)), FULL)

    def test_a_scan_of_few_voxels_is_run_though_they_are_normalised(self, tmp_path: Path) -> None:
        image = as_image(smooth((12, 12, 12)), affine("LPS", (0.5, 0.5, 0.5)))
        found = run(write_detector(tmp_path / "bundle"), image, FULL)
        assert found.shape == (12, 12, 12)
        assert any("thinner than the smallest box" in note for note in found.provenance.notes)

    @pytest.mark.parametrize(("thickness", "told"), [(12.5, "5"), (10.0, "4"), (9.0, "")])
    def test_thick_slices_are_run_with_a_note(self, tmp_path: Path, thickness: float, told: str) -> None:
        image = as_image(smooth((60, 60, 12)), affine("LPS", (2.0, 2.0, thickness), rotation=(10.0, 0.0, 0.0)))
        notes = [
            note for note in run(write_detector(tmp_path / "bundle"), image, FULL).provenance.notes if "thick" in note
        ]
        wanted = f"The scan's voxels are {told} times as thick as the model's; what is small may be missed."
        assert notes == ([wanted] if told else [])

    def test_an_ordinary_scan_has_no_note_of_its_size(self, tmp_path: Path) -> None:
        notes = run(write_detector(tmp_path / "bundle"), straight((40, 40, 8)), FULL).provenance.notes
        assert not any("reliably" in note or "thick" in note for note in notes)

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
