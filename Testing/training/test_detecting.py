"""A detector trains on phantoms, by MONAI's own losses, to a bundle that tells how much it finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.errors import CancelledError, InputError
from DeepImagingLib.evaluation.hits import Outcome
from DeepImagingLib.inference.progress import Monitor
from DeepImagingLib.inference.threads import one_thread
from DeepImagingLib.phantoms.lung_nodules import Nodule, Place
from DeepImagingLib.training import Bodies, GrowingHardness, LungCases, LungPatches, Trainer, detecting, load_recipe
from DeepImagingLib.training.detecting import Found, ellipsoids
from DeepImagingLib.training.lung_patches import MOST_BOXES, coarser, label_of
from DeepImagingLib.training.precision import as_float

SHIPPED = Path(__file__).parents[2] / "Resources" / "Bundles" / "lung_nodule_ct_detection_small" / "configs"
VIEW: dict[str, Any] = {"spacing": (1.25,) * 3, "field_of_view": (60.0,) * 3, "center": (80.0, 0.0, 205.0)}


def config() -> dict[str, Any]:
    """The shipped recipe, shrunk."""
    recipe: dict[str, Any] = json.loads((SHIPPED / "train.json").read_text(encoding="utf-8"))
    recipe |= {"steps": 4, "patch": [32, 32, 32], "window": [32, 32, 32], "body_count": 1}
    features = {"out_channels": 8, "filters": [4, 8, 8], "kernel_size": [3, 3, 3], "strides": [2, 2, 2]}
    recipe["network_def"]["feature_extractor"] |= features | {"upsample_kernel_size": [2, 2]}
    recipe["bodies"] |= {"field_of_view": [60, 60, 60], "center": [80, 0, 205], "spread": [0, 0, 0]}
    recipe["validation"]["phantoms"] |= {"count": 1, "field_of_view": [60, 60, 60]}
    recipe["trainer"] |= {"validate_every": 2, "checkpoint_seconds": 0.0, "precision": "full"}
    return recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny recipe."""
    configs = tmp_path_factory.mktemp("recipes") / "tiny_detector" / "configs"
    configs.mkdir(parents=True)
    (configs / "train.json").write_text(json.dumps(config()), encoding="utf-8")
    for name in ("inference.json", "metadata.json"):
        (configs / name).write_bytes((SHIPPED / name).read_bytes())
    return configs.parent


def trainer_of(recipe: Path, output: Path, **settings: Any) -> Trainer:
    """Make the trainer of the tiny recipe."""
    return load_recipe(str(recipe), fingerprint(recipe)).trainer("cpu", {"output_dir": str(output), **settings})


@pytest.fixture(scope="module")
def trained(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that it made."""
    with one_thread():
        return trainer_of(recipe, tmp_path_factory.mktemp("trained") / "bundle").run()


@pytest.fixture(scope="module")
def bodies() -> Bodies:
    """A part of one chest."""
    return Bodies(3, 1, **VIEW)


class TestTheBundle:
    def test_it_tells_what_was_measured(self, trained: Path) -> None:
        metadata = json.loads((trained / "configs" / "metadata.json").read_text(encoding="utf-8"))
        assert "sensitivity, phantoms: mean" in metadata["eval_metrics"]
        assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "nodule"}
        assert (trained / "training" / "curve.png").is_file()

    def test_its_network_is_that_of_the_recipe(self, recipe: Path, trained: Path) -> None:
        inference = json.loads((trained / "configs" / "inference.json").read_text(encoding="utf-8"))
        for key in ("network_def", "anchor_generator"):
            assert inference[key] == config()[key]
        weights = torch.load(trained / "models" / "model.pt", weights_only=True)
        assert all(value.dtype == torch.float16 for value in weights.values())

    def test_weights_that_have_several_names_are_stored_once(self, trained: Path) -> None:
        weights = torch.load(trained / "models" / "model.pt", weights_only=True)
        stored = {value.untyped_storage().data_ptr(): value.nbytes for value in weights.values()}
        assert len(stored) < len(weights)
        assert (trained / "models" / "model.pt").stat().st_size < sum(stored.values()) + 500 * len(weights)

    @pytest.mark.slow
    def test_a_run_that_was_stopped_ends_with_the_same_weights(
        self, recipe: Path, trained: Path, tmp_path: Path
    ) -> None:
        stopped = trainer_of(recipe, tmp_path / "bundle")
        with pytest.raises(CancelledError, match="go on with --resume"):
            stopped.run(Monitor(cancel=lambda: hasattr(stopped, "course") and stopped.course.step >= 2))
        trainer_of(recipe, tmp_path / "bundle", resume=True).run()
        ends = [torch.load(root / "training" / "last.pt", weights_only=True) for root in (trained, tmp_path / "bundle")]
        assert all(torch.equal(value, ends[1]["network"][name]) for name, value in ends[0]["network"].items())


class TestTheLoss:
    def test_it_is_that_of_monai_s_detector(
        self, recipe: Path, tmp_path: Path, bodies: Bodies, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from monai.apps.detection.networks import retinanet_detector

        monkeypatch.setattr(retinanet_detector, "Matcher", type("Matcher", (), {}))  # torchvision's, not used here
        trainer = trainer_of(recipe, tmp_path / "bundle")
        detector, patches = trainer.inferer, LungPatches(bodies, (32, 32, 32))
        item = next(item for item in map(patches.__getitem__, range(20)) if (item["label"][:, 6] >= 0).any())
        image, label = item["image"][None] / 1000, item["label"][None]
        boxes = label[0][label[0][:, 6] >= 0]
        monkeypatch.setattr(detecting, "BESIDE", 2.0)  # MONAI's takes anchors beside the matched ones for background
        trainer.loss.mask_weight = 0.0
        torch.manual_seed(0)
        ours = trainer.loss(trainer.network(image), label)
        torch.manual_seed(0)
        detector.train()
        theirs = detector(image, [{"box": boxes[:, :6], "label": boxes[:, 6].long()}])
        assert ours.item() == pytest.approx(sum(theirs.values()).item(), rel=1e-5)

    @pytest.mark.slow
    def test_it_falls_on_a_patch_that_is_shown_again_and_again(
        self, recipe: Path, tmp_path: Path, bodies: Bodies
    ) -> None:
        trainer = trainer_of(recipe, tmp_path / "bundle")
        item = next(
            one for one in map(LungPatches(bodies, (32, 32, 32)).__getitem__, range(20)) if one["label"].max() > 0
        )
        optimizer = torch.optim.Adam(trainer.network.parameters(), 0.01)
        losses = []
        for _ in range(60):
            loss = trainer.loss(trainer.network((item["image"][None] + 1000) / 1400), item["label"][None])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])

    def test_masks_cost_nothing_where_the_first_channel_has_them_and_much_where_it_has_the_others(
        self, recipe: Path, tmp_path: Path
    ) -> None:
        trainer = trainer_of(recipe, tmp_path / "bundle")
        label = torch.full((1, MOST_BOXES, 7), -1.0)
        label[0, 0] = torch.tensor([8.0, 8, 8, 24, 24, 24, 0])
        inside = ellipsoids(label[0, :1, :6], (32, 32, 32), (16, 16, 16))
        outputs = trainer.network(torch.rand(1, 1, 32, 32, 32))
        losses = {}
        for name, sign in (("nothing", 0), ("right", 20), ("wrong", -20)):
            trainer.loss._features[:] = [sign * (inside.float() * 2 - 1)[None, None]]
            trainer.loss.mask_weight = float(bool(sign))
            torch.manual_seed(0)
            losses[name] = trainer.loss(outputs, label).item()
        assert losses["right"] == pytest.approx(losses["nothing"], abs=1e-3)
        assert losses["wrong"] > losses["nothing"] + 10

    def test_anchors_beside_those_that_are_matched_are_no_background(self, recipe: Path, tmp_path: Path) -> None:
        trainer = trainer_of(recipe, tmp_path / "bundle")
        label = torch.tensor([[[8.0, 8, 8, 17, 17, 17, 0]]])
        outputs = trainer.network(torch.rand(1, 1, 32, 32, 32))
        maps = list(outputs[trainer.inferer.cls_key])
        anchors = trainer.inferer.anchor_generator(torch.zeros(1, 1, 32, 32, 32), maps)[0]
        target = {"box": label[0, :, :6], "label": label[0, :, 6].long()}
        found = trainer.loss._matched(target, anchors, [level.shape[2:].numel() for level in maps])
        overlap = detecting.box_iou(target["box"], anchors)[0]
        assert (found >= 0).any() and (found == -2).sum() > (found >= 0).sum()
        assert bool((overlap[found == -1] < detecting.BESIDE).all())

    def test_a_patch_without_a_nodule_has_one_too(self, recipe: Path, tmp_path: Path) -> None:
        trainer = trainer_of(recipe, tmp_path / "bundle")
        loss = trainer.loss(trainer.network(torch.rand(2, 1, 32, 32, 32)), torch.full((2, MOST_BOXES, 7), -1.0))
        loss.backward()
        assert torch.isfinite(loss)


class TestData:
    def test_an_item_is_a_function_of_its_number(self, bodies: Bodies) -> None:
        first, second = LungPatches(bodies, (32, 32, 32)), LungPatches(bodies, (32, 32, 32))
        first[0]
        assert torch.equal(first[4]["image"], second[4]["image"]) and torch.equal(first[4]["label"], second[4]["label"])
        assert not torch.equal(first[4]["image"], second[5]["image"])

    def test_boxes_hold_what_is_denser_than_lung(self, bodies: Bodies) -> None:
        patches, seen = LungPatches(bodies, (32, 32, 32)), 0
        for number in range(30):
            item = patches[number]
            for box in item["label"][item["label"][:, 6] >= 0]:
                seen += 1
                assert (box[:3] >= 0).all() and (box[3:6] <= 32).all() and (box[3:6] > box[:3]).all()
                i, j, k = (((box[:3] + box[3:6]) / 2).round().long()).clamp(max=31).tolist()
                assert item["image"][0, i, j, k] > item["image"].quantile(0.05)
        assert seen > 5

    def test_a_box_lies_around_its_nodule_in_voxels_whose_centres_are_whole_numbers(self) -> None:
        nodule = Nodule((10.0, -5.0, 30.0), 5.0, True, False, Place.FREE)
        affine = np.array([[1.25, 0, 0, 0], [0, 1.25, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]])
        label = label_of([nodule], affine, (32, 32, 32))
        assert label[0].tolist() == [6, 10, 9, 10, 14, 11, 0]
        assert (label[1:] == -1).all()
        assert (label_of([nodule], affine, (8, 8, 8)) == -1).all(), "its middle lies outside"

    def test_coarser_voxels_keep_the_mean_and_lose_detail(self) -> None:
        image = np.random.default_rng(0).normal(0, 100, (32, 32, 32)).astype(np.float32)
        seen = [coarser(image, (1.25,) * 3, np.random.default_rng(seed)) for seed in range(12)]
        changed = [one for one in seen if not np.array_equal(one, image)]
        assert 0 < len(changed) < 12
        for one in changed:
            assert one.shape == image.shape and abs(one.mean()) < 3 and one.std() < image.std()

    def test_seeds_kept_for_tests_are_not_trained_on(self, bodies: Bodies) -> None:
        with pytest.raises(InputError, match="below 1000000"):
            LungPatches(Bodies(999_999, 2, **VIEW))
        with pytest.raises(InputError, match="from 1000000"):
            LungCases(first=5)


class TestTheThreshold:
    """From which score on a box counts follows from validation."""

    @staticmethod
    def found(false: list[float], cases: int) -> Found:
        each = np.array_split(np.array(false), cases)
        return Found({"nodule": [Outcome(np.array([0.9]), some, np.array([9.0]), np.array([0])) for some in each]})

    def test_it_leaves_one_false_positive_a_case(self) -> None:
        scores = np.linspace(0.03, 0.97, 48).tolist()
        threshold = self.found(scores, 12).decided()["score_threshold"]
        assert sum(score >= threshold for score in scores) == 12

    def test_few_cases_or_false_positives_decide_nothing(self) -> None:
        assert self.found([0.5] * 20, 4).decided() == self.found([0.5] * 12, 12).decided() == {}


def test_answers_of_any_shape_become_full_precision() -> None:
    half = torch.ones(2, dtype=torch.bfloat16)
    answer = as_float({"maps": [half], "one": half})
    assert answer["maps"][0].dtype == answer["one"].dtype == torch.float32


class TestEllipsoids:
    """The mask that tells a detector where to look."""

    def test_one_has_the_volume_and_the_middle_of_its_ball(self) -> None:
        diameters, middle = np.array([20.0, 12.0, 16.0]), np.array([30.3, 17.9, 22.0])
        box = torch.from_numpy(np.concatenate([middle - diameters / 2, middle + diameters / 2]))
        mask = ellipsoids(box[None], patch=(64, 32, 48), shape=(32, 16, 24)).numpy()
        assert 8 * mask.sum() == pytest.approx(np.pi / 6 * diameters.prod(), rel=0.1)
        np.testing.assert_allclose(2 * np.argwhere(mask).mean(0) + 0.5, middle, atol=0.3)

    def test_without_a_box_there_is_none(self) -> None:
        assert not ellipsoids(torch.zeros(0, 6), (32, 32, 32), (16, 16, 16)).any()

    def test_the_smallest_box_has_a_cell(self) -> None:
        box = torch.tensor([[10.0, 10.0, 10.0, 10.2, 10.2, 10.2]])
        assert ellipsoids(box, (32, 32, 32), (16, 16, 16)).sum() == 1


class TestGrowingHardness:
    """Negatives are drawn at random until positives score higher; then the hard ones come."""

    @staticmethod
    def hard_ones(positive_score: float) -> int:
        """Return how many of the 50 negatives that score highest, of 5000, are drawn beside 10 positives."""
        torch.manual_seed(0)
        labels = torch.zeros(5010)
        labels[:10] = 1
        scores = torch.cat([torch.full((10,), positive_score), torch.full((50,), 0.2), torch.full((4950,), 0.01)])
        logits = torch.logit(scores)  # what MONAI's detector gives
        sampler = GrowingHardness(0.8, batch_size_per_image=40, positive_fraction=0.25, pool_size=1, min_neg=1)
        (_,), (negatives,) = sampler([labels], logits)
        assert int(negatives.sum()) in range(28, 31)
        return int(negatives[10:60].sum())

    def test_nothing_is_hard_before_anything_is_learnt(self) -> None:
        assert self.hard_ones(0.01) <= 2

    def test_most_are_hard_once_positives_score_high(self) -> None:
        assert self.hard_ones(0.95) >= 20

    def test_images_without_positives_give_negatives_too(self) -> None:
        sampler = GrowingHardness(0.8, batch_size_per_image=40, positive_fraction=0.25, pool_size=1, min_neg=5)
        (positives,), (negatives,) = sampler([torch.zeros(100)], torch.rand(100))
        assert (int(positives.sum()), int(negatives.sum())) == (0, 5)
