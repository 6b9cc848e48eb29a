"""Scans with boxes of their own become a detector, from scratch or from another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, Spacingd

from DeepImagingLib import run
from DeepImagingLib.bundles.bundle import load_bundle
from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Detections
from DeepImagingLib.training import BoxRowsd, RandBoxPatchd
from DeepImagingLib.training.cases import load_case, read_dataset
from DeepImagingLib.training.cases.load import pieces_of
from DeepImagingLib.training.compose import Assignment, Draft, draft
from DeepImagingLib.training.cost import costs
from DeepImagingLib.training.transfer import transfer
from Testing.bundles.make_detectors import write_detector
from Testing.grids import AXIS_CODES, affine

SPACING = (2.0, 2.0, 2.5)
SHAPE = (40, 36, 32)
SMALL: dict[str, Any] = {"patch": [32, 32, 32], "window": [32, 32, 32], "augmentation": [], "epochs": 1}
MIDDLES = [np.array([30.0, 25.0, 20.0]), np.array([52.0, 40.0, 50.0])]


def write_scans(folder: Path, count: int = 5, code: str = "RAS") -> Path:
    """Write scans of noise with two bright balls, their masks, and a table of boxes; returns the folder."""
    rng = np.random.default_rng(0)
    grid = affine(code, SPACING, (0.0, 0.0, 0.0))
    lines = ["image,center_right_mm,center_anterior_mm,center_superior_mm,diameter_mm,label"]
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    voxels = np.moveaxis(np.indices(SHAPE), 0, -1) @ grid[:3, :3].T
    middle = voxels.reshape(-1, 3).mean(0)
    for number in range(count):
        values, labels = rng.normal(0, 30, SHAPE).astype(np.float32), np.zeros(SHAPE, np.uint8)
        for at in MIDDLES:
            center = middle + (at - [39.0, 35.0, 38.75]) + rng.uniform(-4, 4, 3)
            ball = np.linalg.norm(voxels - center, axis=-1) < 8
            values[ball] += 300
            labels[ball] = 1
            lines.append(f"images/secret{number}.nii.gz,{','.join(f'{x:.2f}' for x in center)},16,lump")
        nibabel.save(nibabel.Nifti1Image(values, grid), folder / "images" / f"secret{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, grid), folder / "labels" / f"secret{number}.nii.gz")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scans."""
    return write_scans(tmp_path_factory.mktemp("lumps"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of the zoo's build, with one label."""
    return write_detector(tmp_path_factory.mktemp("base") / "detector")


def drafted(data: Path, output: Path, base: Path | str, task: str | None = None, **settings: Any) -> Draft:
    labels = {"lump": 1} if data.is_dir() else None
    return draft(Assignment(read_dataset(data, labels), str(base), output, settings={**SMALL, **settings}, task=task))


class TestFromADetector:
    def test_it_runs_on_and_names_no_file(self, folder: Path, base: Path, tmp_path: Path) -> None:
        training = drafted(folder / "boxes.csv", tmp_path / "out", base)
        assert training.transfer and training.transfer.labels == ("lump",)
        bundle = training.begin().run()
        result = run(bundle, folder / "images" / "secret0.nii.gz")
        assert isinstance(result, Detections) and result.labels == ("lump",)
        told = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
        assert told["score_threshold"] == 0.3 and "sensitivity, cases: mean" in told["eval_metrics"]
        assert not any("secret" in path.read_text(encoding="utf-8") for path in (bundle / "configs").iterdir())

    def test_masks_serve_too_piece_by_piece(self, folder: Path, base: Path, tmp_path: Path) -> None:
        training = drafted(folder, tmp_path / "out", base)
        assert training.assignment.dataset.task == "detection"
        assert [int(one.voxels[1]) for one in training.inspection.facts] == [2] * 5

    def test_more_labels_get_a_new_head_which_is_told(self, folder: Path, base: Path, tmp_path: Path) -> None:
        table = tmp_path / "boxes.csv"
        text = (folder / "boxes.csv").read_text().replace("images/", f"{folder}/images/")
        table.write_text(text[: text.rindex("lump")] + "bump\n")
        training = drafted(table, tmp_path / "out", base)
        assert training.transfer and training.transfer.labels == ("bump", "lump") and not training.transfer.new
        assert all("cls_logits" in name for name in training.transfer.rows)
        result = run(training.begin().run(), folder / "images" / "secret0.nii.gz")
        assert isinstance(result, Detections) and result.labels == ("bump", "lump")

    def test_rows_of_known_labels_go_where_these_are_now_for_every_anchor(self, tmp_path: Path) -> None:
        base = load_bundle(str(write_detector(tmp_path / "two", classes=("nodule", "cyst"))))
        heads = {f"classification_head.cls_logits.{name}": [0] for name in ("weight", "bias")}
        before, network = base.build().network, base.build().network
        transfer(network, before.state_dict(), heads, ("nodule", "cyst"), ("cyst", "nodule"))
        old, new = (one.classification_head.cls_logits.weight.unflatten(0, (3, 2)) for one in (before, network))
        assert torch.equal(new, old.flip(1)) and not torch.equal(new, old)

    def test_time_and_memory_are_told(self, folder: Path, base: Path, tmp_path: Path) -> None:
        told = costs(drafted(folder, tmp_path / "out", base))
        assert "steps" in told["time"].reason and "GB" in told["memory"].short


class TestFromScratch:
    def test_anchors_follow_the_boxes(self, folder: Path, tmp_path: Path) -> None:
        training = drafted(folder / "boxes.csv", tmp_path / "out", "scratch")
        spacing = training.plan["preparation"].value[1]["pixdim"][0]
        shapes = np.array(training.plan["anchor_generator"].value["base_anchor_shapes"])
        np.testing.assert_allclose(shapes * spacing, 16, atol=0.5)

    @pytest.mark.slow  # half a minute
    def test_it_learns(self, folder: Path, tmp_path: Path) -> None:
        trainer = drafted(folder, tmp_path / "out", "scratch", "detection", epochs=120).begin()
        found = run(trainer.run(), folder / "images" / "secret0.nii.gz")
        assert trainer.course.best > 0.9 and isinstance(found, Detections)


class TestLists:
    def test_a_table_and_masks_tell_of_the_same_boxes(self, folder: Path) -> None:
        listed, drawn = read_dataset(folder / "boxes.csv"), read_dataset(folder, {"lump": 1})
        drawn = type(drawn)(drawn.cases, drawn.labels, drawn.channels, "detection")
        for one, other in zip(listed.cases, drawn.cases, strict=True):
            boxes, pieces = (load_case(case, data)["box"] for case, data in ((one, listed), (other, drawn)))
            order = [int(np.linalg.norm(pieces[:, :3] - box[:3], axis=1).argmin()) for box in boxes]
            np.testing.assert_allclose(boxes, pieces[order], atol=2.5)

    def test_findings_of_a_run_are_boxes(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "images").symlink_to(folder / "images")
        (tmp_path / "labels").mkdir()
        for number in range(5):
            one = {"center_ras": [30, 25, 20], "size_mm": [8, 9, 10], "label": "lump", "score": 1}
            (tmp_path / "labels" / f"secret{number}.json").write_text(json.dumps({"findings": [one] * (number > 0)}))
        data = read_dataset(tmp_path)
        assert data.task == "detection" and [len(case.boxes or ()) for case in data.cases] == [0, 1, 1, 1, 1]

    def test_luna16_s_table_names_series(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "secret0.nii.gz").symlink_to(folder / "images" / "secret0.nii.gz")
        table = tmp_path / "annotations.csv"
        table.write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\nsecret0,-30,-25,20,16\n")
        case = read_dataset(table).cases[0]
        assert case.images[0].name == "secret0.nii.gz" and case.boxes and case.boxes[0].center == (30, 25, 20)

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ("900,0,0,5,lump", "middle lies outside"),
            ("30,25,20,-5,lump", "lengths aren't all above 0"),
            ("30,,20,5,lump", "expected a number"),
        ],
    )
    def test_wrong_boxes_are_told(self, row: str, said: str, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "images").symlink_to(folder / "images")
        table = tmp_path / "boxes.csv"
        table.write_text((folder / "boxes.csv").read_text() + f"images/secret4.nii.gz,{row}\n")
        with pytest.raises(InputError, match=said):
            drafted(table, tmp_path / "out", "scratch")

    def test_lung_masks_are_not_taken_for_scans(self, folder: Path, tmp_path: Path) -> None:
        for name in ("subset0", "seg-lungs-LUNA16"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "1.2.3.nii.gz").symlink_to(folder / "images" / "secret0.nii.gz")
        (tmp_path / "subset0" / "1.2.3.json").write_text("{}")
        table = tmp_path / "annotations.csv"
        table.write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2.3,-30,-25,20,16\n")
        assert read_dataset(table).cases[0].images[0].parent.name == "subset0"

    def test_a_part_without_boxes_is_told(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "images").symlink_to(folder / "images")
        lines = (folder / "boxes.csv").read_text().splitlines()
        split = [f"{line},train" for line in lines[1:3]] + [f"images/secret{n}.nii.gz,,,,,,validation" for n in (1, 2)]
        table = tmp_path / "boxes.csv"
        table.write_text("\n".join([f"{lines[0]},split", *split]))
        with pytest.raises(InputError, match="No scan of the split 'validation' has a box"):
            drafted(table, tmp_path / "out", "scratch")

    def test_pictures_are_told(self, tmp_path: Path) -> None:
        from Testing.training.test_of_classes import write_pictures

        write_pictures(tmp_path, 4)
        (tmp_path / "labels.csv").unlink()
        table = tmp_path / "boxes.csv"
        lines = [f"secret{n}.png,-20,-20,0,5" for n in range(4)]
        head = "image,center_right_mm,center_anterior_mm,center_superior_mm,diameter_mm"
        table.write_text("\n".join([head, *lines]))
        with pytest.raises(InputError, match="give volumes"):
            drafted(table, tmp_path / "out", "scratch")


class TestPatches:
    @settings(max_examples=25, deadline=None)
    @given(code=st.sampled_from(AXIS_CODES), seed=st.integers(0, 10_000))
    def test_what_is_in_a_patch_s_boxes_is_bright_and_nothing_else(self, code: str, seed: int) -> None:
        grid = affine(code, SPACING, (-20.0, 10.0, 5.0))
        shape, rng = (44, 40, 38), np.random.default_rng(seed)
        voxels = np.moveaxis(np.indices(shape), 0, -1) @ grid[:3, :3].T + grid[:3, 3]
        middle = voxels.reshape(-1, 3).mean(0) + rng.uniform(-15, 15, 3)
        ball = (np.linalg.norm(voxels - middle, axis=-1) < 9).astype(np.float32)
        image = MetaTensor(torch.from_numpy(ball[None]), affine=torch.from_numpy(grid))
        box = torch.tensor([[*middle, 18.0, 18.0, 18.0]])
        chain = Compose([Orientationd("image", axcodes="RAS", labels=None), Spacingd("image", (2, 2, 2)), BoxRowsd()])
        patches = RandBoxPatchd((24, 24, 24), positive=1.0)
        patches.set_random_state(seed=seed)
        item = patches(chain({"image": image, "box": box, "label": torch.tensor([0])}))
        rows = item["label"][item["label"][:, 6] >= 0].numpy()
        assert item["image"].shape == (1, 24, 24, 24) and len(rows) == 1
        bright = np.argwhere(item["image"][0].numpy() > 0.5)
        np.testing.assert_allclose(rows[0, :3], bright.min(0) - 0.5, atol=1.2)
        np.testing.assert_allclose(rows[0, 3:6], bright.max(0) + 0.5, atol=1.2)

    @settings(max_examples=40, deadline=None)
    @given(code=st.sampled_from(AXIS_CODES), oblique=st.booleans(), seed=st.integers(0, 1000))
    def test_lengths_follow_the_patient_s_axes_in_any_orientation(self, code: str, oblique: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        grid = affine(code, SPACING, (-20.0, 10.0, 5.0), rotation=(9, -7, 12) if oblique else (0, 0, 0))
        low, size = rng.integers(2, 10, 3), np.array([5, 9, 14])
        middle = grid[:3, :3] @ (low + (size - 1) / 2) + grid[:3, 3]
        lengths = np.zeros(3)
        for letter, side in zip(code, size * SPACING, strict=True):
            lengths["RLAPSI".index(letter) // 2] = side
        image = MetaTensor(torch.zeros(1, 30, 30, 30), affine=torch.from_numpy(grid))
        box = torch.tensor([[*middle, *lengths]])
        row = BoxRowsd()({"image": image, "box": box, "label": torch.tensor([0])})["label"][0].numpy()
        np.testing.assert_allclose(row[:6], [*(low - 0.5), *(low + size - 0.5)], atol=1e-3)
        mask = np.zeros((30, 30, 30), np.uint8)
        mask[tuple(slice(a, a + n) for a, n in zip(low, size))] = 1
        pieces, _ = pieces_of(MetaTensor(torch.from_numpy(mask[None]), affine=torch.from_numpy(grid)))
        np.testing.assert_allclose(pieces[0], [*middle, *lengths], atol=1e-3)

    def test_a_small_image_s_margin_goes_on(self) -> None:
        item = {"image": torch.ones(1, 20, 30, 10), "label": torch.zeros(0, 7)}
        patch = RandBoxPatchd((24, 24, 24))(item)
        assert patch["image"].shape == (1, 24, 24, 24) and bool((patch["image"] == 1).all())
        assert bool((patch["label"] == -1).all())
