"""The pieces of a training: loss, pace, patches, scans."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms.torso import Organ
from DeepImagingLib.training import (
    Bodies,
    PhantomCases,
    PhantomPatches,
    PresentDiceCELoss,
    Scans,
    Shuffled,
    load_recipe,
)
from DeepImagingLib.training.checkpoint import make_folder, save
from DeepImagingLib.training.pace import Pace
from Testing.training import tiny

SPACING = (10.0, 10.0, 10.0)
PATCH = (44, 32, 32)


class TestLoss:
    def test_it_is_monai_s_where_every_label_is_there(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn((2, 4, 6, 5, 4), generator=generator)
        label = torch.randint(0, 4, (2, 1, 6, 5, 4), generator=generator)
        monai = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, smooth_nr=0, smooth_dr=0)
        assert torch.allclose(PresentDiceCELoss()(logits, label), _with_background_entropy(monai, logits, label))

    def test_labels_that_are_absent_are_no_matter_of_dice(self) -> None:
        label = torch.zeros((1, 1, 4, 4, 4), dtype=torch.long)
        label[0, 0, 0] = 1
        few = torch.full((1, 2, 4, 4, 4), -9.0).scatter_(1, label, 9.0)
        many = torch.cat([few, torch.full((1, 20, 4, 4, 4), -9.0)], 1)
        assert abs(float(PresentDiceCELoss()(few, label) - PresentDiceCELoss()(many, label))) < 1e-5

    def test_a_patch_of_background_alone_can_be_learnt_from(self) -> None:
        logits = torch.zeros((1, 3, 4, 4, 4), requires_grad=True)
        PresentDiceCELoss()(logits, torch.zeros((1, 1, 4, 4, 4), dtype=torch.long)).backward()
        assert logits.grad is not None and bool(torch.isfinite(logits.grad).all()) and bool(logits.grad.any())


def _with_background_entropy(loss: DiceCELoss, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """MONAI leaves the background out of both terms or of none; ours keeps it in the cross-entropy."""
    return loss.dice(logits, label) + torch.nn.functional.cross_entropy(logits, label[:, 0])


class TestPace:
    def test_without_a_deadline_every_step_is_one_of_the_schedule(self) -> None:
        pace = Pace(scheduled=977, total=977)
        assert [pace.position(step) for step in range(978)] == list(range(978))

    @pytest.mark.parametrize("total", [7, 100, 5000])
    def test_a_schedule_ends_when_the_run_does(self, total: int) -> None:
        pace = Pace(scheduled=100, total=100)
        for step in range(1, total + 1):
            before = pace.position(step)
            pace.refit(step, total - step)
            assert pace.position(step) == before
        assert pace.position(total) == 100

    def test_no_time_left_is_the_end(self) -> None:
        pace = Pace(scheduled=100, total=100)
        pace.refit(30, 0.4)
        assert pace.total == 30


@pytest.fixture(scope="module")
def patches() -> PhantomPatches:
    """Patches of one body."""
    return PhantomPatches(Bodies(3, 1, SPACING), patch=PATCH)


class TestPhantomPatches:
    def test_a_number_stands_for_an_item(self, patches: PhantomPatches) -> None:
        other = PhantomPatches(Bodies(3, 1, SPACING), patch=PATCH)
        assert all(torch.equal(patches[5][key], other[5][key]) for key in ("image", "label"))
        assert not torch.equal(patches[5]["image"], patches[6]["image"])

    def test_an_item_is_a_patch_of_hounsfield_units_and_organs(self, patches: PhantomPatches) -> None:
        seen = set()
        for number in range(20):
            item = patches[number]
            assert item["image"].shape == item["label"].shape == (1, *PATCH)
            assert item["image"].dtype == torch.float32
            seen |= set(item["label"].unique().tolist())
        assert {Organ.BACKGROUND, Organ.OTHER_TISSUE, Organ.RIGHT_LUNG, Organ.LIVER} <= seen <= {*Organ}

    def test_no_pose_swaps_left_and_right(self, patches: PhantomPatches) -> None:
        compared = 0
        for number in range(40):
            label = patches[number]["label"][0].numpy()
            right, left = (np.argwhere(label == organ)[:, 0] for organ in (Organ.RIGHT_LUNG, Organ.LEFT_LUNG))
            if len(right) > 60 and len(left) > 60:
                assert right.mean() > left.mean()
                compared += 1
        assert compared > 5

    def test_some_are_slabs_whose_edges_repeat(self, patches: PhantomPatches) -> None:
        slabs = [_repeated_ends(patches[number]["image"][0].numpy()) for number in range(20)]
        assert 3 <= sum(slices > 4 for slices in slabs) < 20

    def test_heads_and_limbs_have_no_organs(self, patches: PhantomPatches, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("DeepImagingLib.training.phantom_patches.OTHER", 1.0)
        found = set(np.unique(np.stack([patches[n]["label"] for n in range(30)])))
        assert found == {Organ.BACKGROUND, Organ.OTHER_TISSUE, Organ.OTHER_BONE}

    def test_what_is_no_ct_has_no_negative_numbers_and_is_all_background(
        self, patches: PhantomPatches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("DeepImagingLib.training.phantom_patches.NO_CT", 1.0)
        monkeypatch.setattr("DeepImagingLib.training.phantom_patches.OTHER", 0.0)
        for item in (patches[n] for n in range(10)):
            assert item["image"].min() >= 0 and item["image"].max() > 50
            assert not item["label"].any()

    def test_random_transforms_follow_the_number_too(self) -> None:
        from monai.transforms import Compose, RandGaussianNoised

        noisy = Compose([RandGaussianNoised(keys="image", prob=1.0, std=50.0)])
        one, other = (PhantomPatches(Bodies(3, 1, SPACING), patch=PATCH, transform=noisy) for _ in range(2))
        one[7]
        assert torch.equal(torch.as_tensor(one[2]["image"]), torch.as_tensor(other[2]["image"]))

    def test_seeds_kept_for_tests_are_never_trained_on(self) -> None:
        with pytest.raises(InputError, match="1000000"):
            PhantomPatches(Bodies(999_990, 20))
        with pytest.raises(InputError, match="1000000"):
            PhantomCases(Bodies(999_990, 2))

    def test_kept_bodies_are_those_that_would_be_drawn(self, patches: PhantomPatches, tmp_path: Path) -> None:
        for _ in range(2):
            kept = PhantomPatches(Bodies(3, 1, SPACING, cache=str(tmp_path)), patch=PATCH)
            assert torch.equal(kept[1]["image"], patches[1]["image"])
        assert len(list(tmp_path.glob("*/3.npz"))) == 1


def _repeated_ends(image: np.ndarray) -> int:
    """How many slices are the same as the one before."""
    return int((image[..., 1:] == image[..., :-1]).all((0, 1)).sum())


def test_a_finite_data_set_is_seen_whole_in_each_turn() -> None:
    shuffled = Shuffled([{"image": n} for n in range(7)], seed=1)
    turns = [[shuffled[number]["image"] for number in range(7 * turn, 7 * turn + 7)] for turn in range(2)]
    assert sorted(turns[0]) == sorted(turns[1]) == list(range(7))
    assert turns[0] != turns[1]


def test_a_kept_body_that_was_cut_off_is_drawn_again(tmp_path: Path) -> None:
    whole = Bodies(3, 1, SPACING, cache=str(tmp_path))[0].unpack()
    (kept,) = tmp_path.rglob("*.npz")
    kept.write_bytes(kept.read_bytes()[:1000])
    assert np.array_equal(Bodies(3, 1, SPACING, cache=str(tmp_path))[0].unpack(), whole)
    kept.write_bytes(b"")
    assert np.array_equal(Bodies(3, 1, SPACING, cache=str(tmp_path))[0].unpack(), whole)


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="name another folder"):
        Bodies(3, 1, SPACING, cache=str(tmp_path / "file")).prepare()


def test_parts_of_files_that_a_killed_run_left_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".last.pt-1").write_bytes(b"half")
    save(tmp_path / "last.pt", {"step": 1})
    make_folder(tmp_path, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


class TestScans:
    @pytest.fixture
    def listed(self, tmp_path: Path) -> Path:
        labels = np.zeros((6, 5, 4), np.uint8)
        labels[0], labels[1], labels[2], labels[3] = 5, 10, 11, 99
        for name, array in (("ct", np.zeros(labels.shape, np.float32)), ("labels", labels)):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
        content = {
            "labels": {"liver": 5, "left lung": [10, 11]},
            "cases": [{"image": "ct.nii.gz", "label": "labels.nii.gz"}],
        }
        (tmp_path / "scans.json").write_text(json.dumps(content), encoding="utf-8")
        return tmp_path / "scans.json"

    def test_labels_get_the_numbers_of_the_network(self, listed: Path) -> None:
        label = Scans(str(listed), {"0": "background", "1": "liver", "2": "left lung"})[0]["label"][0]
        assert [int(label[i, 0, 0]) for i in range(5)] == [1, 2, 2, 0, 0]

    def test_an_unknown_label_is_named(self, listed: Path) -> None:
        with pytest.raises(InputError, match=r"'left lung'.*background, liver"):
            Scans(str(listed), {"0": "background", "1": "liver"})

    def test_what_is_no_list_is_said_to_be_none(self, tmp_path: Path) -> None:
        (tmp_path / "scans.json").write_text("[]")
        with pytest.raises(InputError, match="no list of scans"):
            Scans(str(tmp_path / "scans.json"), {"0": "background"})


class TestTheShippedRecipe:
    def test_it_prepares_intensities_as_inference_does(self) -> None:
        train, inference = (
            json.loads((tiny.SHIPPED / "configs" / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("train", "inference")
        )
        scaling = next(
            t for t in inference["preprocessing"]["transforms"] if t["_target_"] == train["intensity"]["_target_"]
        )
        assert train["intensity"] == scaling
        spacing = next(t for t in inference["preprocessing"]["transforms"] if t["_target_"] == "Spacingd")
        assert train["spacing"] == spacing["pixdim"]

    def test_it_has_a_channel_for_every_label(self) -> None:
        train = json.loads((tiny.SHIPPED / "configs" / "train.json").read_text(encoding="utf-8"))
        assert train["network_def"]["out_channels"] == len(train["labels"]) == len(Organ)
        assert [int(number) for number in train["labels"]] == [organ.value for organ in Organ]

    def test_its_coarse_network_fits_into_the_fine_one(self, tmp_path: Path) -> None:
        trainer = load_recipe(str(tiny.SHIPPED)).trainer("cpu", {"output_dir": str(tmp_path / "out")})
        assert trainer.before and trainer.before.taken
        for target, source in trainer.before.taken.items():
            inner = trainer.before.trainer.network.get_submodule(source)
            trainer.network.get_submodule(target).load_state_dict(inner.state_dict())
            taken = sum(weight.numel() for weight in inner.parameters())
            assert taken > 0.9 * sum(weight.numel() for weight in trainer.network.parameters())
