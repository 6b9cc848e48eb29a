"""A classifier trains on made radiographs to a bundle that tells how well it does, and that MONAI runs as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.inferers import SimpleInferer

from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.errors import CancelledError, InputError
from DeepImagingLib.files.read import read
from DeepImagingLib.inference.progress import Monitor
from DeepImagingLib.inference.threads import one_thread
from DeepImagingLib.phantoms import chest_xray, torso_ct
from DeepImagingLib.training import (
    KnownBCELoss,
    Radiographs,
    RandLeadsd,
    Shuffled,
    Trainer,
    load_recipe,
    measure_classifier,
    outliers,
)
from DeepImagingLib.training.classifying import CROSS_ENTROPY, Told
from DeepImagingLib.training.radiographs import FINDINGS, LABELS
from DeepImagingLib.training.validate import MEAN

SHIPPED = Path(__file__).parents[2] / "Resources" / "Bundles" / "chest_xray_findings_small" / "configs"
SIZE = 64


def config(**changes: Any) -> dict[str, Any]:
    """The shipped recipe, shrunk; `changes` are further settings of its top."""
    recipe: dict[str, Any] = json.loads((SHIPPED / "train.json").read_text(encoding="utf-8"))
    recipe |= {"steps": 4, "body_count": 1, "exposures": 2, "batch_size": 2} | changes
    recipe["network_def"] |= {"init_features": 4, "growth_rate": 4, "block_config": [1, 1]}
    recipe["radiographs"] |= {"size": SIZE}
    recipe["validation"]["phantoms"] |= {"size": SIZE, "bodies": 1, "exposures": 2}
    shrink(recipe["patch_transform"]["transforms"] + recipe["case_transform"]["transforms"])
    recipe["trainer"] |= {"validate_every": 2, "checkpoint_seconds": 0.0, "precision": "full"}
    return recipe


def shrink(transforms: list[Any]) -> None:
    """Have those that give a size give SIZE."""
    for transform in transforms:
        if isinstance(transform, dict) and "spatial_size" in transform:
            one = isinstance(transform["spatial_size"], int)
            transform["spatial_size"] = SIZE if one else [SIZE, SIZE]
        elif isinstance(transform, dict) and "roi_size" in transform:
            transform |= {"roi_size": [SIZE * 3 // 4] * 2, "max_roi_size": [SIZE, SIZE]}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that keeps what was drawn for all tests here."""
    return tmp_path_factory.mktemp("radiographs")


@pytest.fixture(autouse=True, scope="module")
def coarse_bodies() -> Any:
    """Bodies of larger voxels are drawn in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chest_xray, "BODY_SPACING", (8.0, 8.0, 8.0))
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny recipe."""
    return write(tmp_path_factory.mktemp("recipes") / "tiny_classifier", config())


def write(folder: Path, recipe: dict[str, Any]) -> Path:
    """Write a bundle with that recipe; returns its folder."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "train.json").write_text(json.dumps(recipe), encoding="utf-8")
    for name in ("inference.json", "metadata.json"):
        (folder / "configs" / name).write_bytes((SHIPPED / name).read_bytes())
    return folder


def trainer_of(recipe: Path, output: Path, cache: Path, **settings: Any) -> Trainer:
    """Make the trainer of a recipe."""
    settings |= {"output_dir": str(output), "cache": str(cache)}
    return load_recipe(str(recipe), fingerprint(recipe)).trainer("cpu", settings)


@pytest.fixture(scope="module")
def trained(recipe: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that it made."""
    with one_thread():
        return trainer_of(recipe, tmp_path_factory.mktemp("trained") / "bundle", cache).run()


@pytest.fixture(scope="module")
def radiographs(cache: Path) -> Radiographs:
    """Four of one body."""
    return Radiographs(first=3, bodies=1, exposures=4, size=SIZE, cache=str(cache), with_regions=True)


class TestTheBundle:
    def test_it_tells_what_was_measured(self, trained: Path) -> None:
        metadata = json.loads((trained / "configs" / "metadata.json").read_text(encoding="utf-8"))
        assert {"AUROC, phantoms: mean", f"phantoms: {CROSS_ENTROPY}"} <= metadata["eval_metrics"].keys()
        assert metadata["likeness"] == {"label": "chest X-ray", "least": 0.5}  # not what was found of other weights
        output = metadata["network_data_format"]["outputs"]["pred"]
        assert tuple(output["channel_def"].values()) == (*LABELS, "chest X-ray")

    def test_a_run_that_was_stopped_ends_with_the_same_weights(
        self, recipe: Path, trained: Path, cache: Path, tmp_path: Path
    ) -> None:
        stopped = trainer_of(recipe, tmp_path / "bundle", cache)
        with pytest.raises(CancelledError, match="go on with --resume"):
            stopped.run(Monitor(cancel=lambda: hasattr(stopped, "course") and stopped.course.step >= 2))
        trainer_of(recipe, tmp_path / "bundle", cache, resume=True).run()
        ends = [torch.load(root / "training" / "last.pt", weights_only=True) for root in (trained, tmp_path / "bundle")]
        assert all(torch.equal(value, ends[1]["network"][name]) for name, value in ends[0]["network"].items())

    def test_monai_runs_it_on_pictures_of_any_shape(
        self, trained: Path, radiographs: Radiographs, tmp_path: Path
    ) -> None:
        import PIL.Image

        pixels = (radiographs[0]["image"][0].numpy().T * 255).astype(np.uint8)
        for name, rows in (("tall", pixels[:, 8:-8]), ("wide", pixels[8:-8])):
            PIL.Image.fromarray(rows).resize((3 * rows.shape[1], 3 * rows.shape[0])).save(tmp_path / f"{name}.png")
        config = ConfigParser()
        config.read_config(trained / "configs" / "inference.json")
        config.update({"bundle_root": str(trained), "dataset_dir": str(tmp_path), "output_dir": str(tmp_path / "out")})
        config.get_parsed_content("initialize")
        config.get_parsed_content("run")
        rows = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 2
        for row in rows:
            told = [float(number) for number in row.split(",")[1:]]
            assert len(told) == len(LABELS) + 1 and all(0 < p < 1 for p in told)

    def test_training_and_inference_see_a_picture_alike(self, radiographs: Radiographs, tmp_path: Path) -> None:
        import PIL.Image

        item = radiographs[1]
        PIL.Image.fromarray((item["image"][0].numpy().T * 255).round().astype(np.uint8)).save(tmp_path / "one.png")
        steps = json.loads((SHIPPED / "inference.json").read_text(encoding="utf-8"))["preprocessing"]
        recipe = json.loads((SHIPPED / "train.json").read_text(encoding="utf-8"))
        config = ConfigParser({"inference": steps, "intensity": recipe["intensity"], "case": recipe["case_transform"]})
        ours = config.get_parsed_content("case")(item)["image"]
        assert ours.shape == (1, 256, 256)
        assert torch.allclose(config.get_parsed_content("inference")({"image": tmp_path / "one.png"})["image"], ours)
        assert np.allclose(read(tmp_path / "one.png").numpy() / 255, item["image"].numpy(), atol=1e-6)


class TestRadiographs:
    def test_labels_pixels_and_regions_are_those_of_the_phantom(self, radiographs: Radiographs) -> None:
        body = torso_ct.draw(3, chest_xray.BODY_SPACING, (540, 400, 600), center=(0, 0, 170))
        for index in range(2):
            way = ((420 / SIZE,) * 2, (420.0,) * 2)
            images, truth = chest_xray.expose(body, 3 * 4 + index, *way, photometric="MONOCHROME2")
            present = chest_xray.present(truth)
            item, regions = radiographs[index], radiographs.regions(index)
            assert [name for name, there in zip(LABELS, item["label"]) if there] == list(present or ["no finding"])
            shot = images["cxr"].numpy() / (2 ** images["cxr"].meta["bits"] - 1)
            assert np.abs(item["image"].numpy() - shot).max() < 0.003
            assert np.array_equal(item["region"], np.kron(regions, np.ones((1, 4, 4))))
            for name, region in zip(FINDINGS, regions):
                fine = truth.mask(name)[..., 0]
                assert not (fine & ~np.kron(region, np.ones((4, 4), bool))).any()
                assert region.shape == (SIZE // 4, SIZE // 4) and region.sum() <= fine.sum()

    def test_kept_ones_are_those_that_were_drawn_and_one_cut_off_is_drawn_again(self, tmp_path: Path) -> None:
        way: dict[str, Any] = {"first": 4, "bodies": 1, "exposures": 1, "size": SIZE, "cache": str(tmp_path)}
        drawn, kept = Radiographs(**way)[0], Radiographs(**way)[0]
        (file,) = tmp_path.rglob("4.npz")
        whole = file.read_bytes()
        file.write_bytes(whole[:500])
        again = Radiographs(**way)[0]
        assert len(file.read_bytes()) == len(whole)
        for other in (kept, again):
            assert all(torch.equal(drawn[key], other[key]) for key in ("image", "label"))

    def test_an_item_is_a_function_of_its_number(self, radiographs: Radiographs) -> None:
        steps = ConfigParser({"intensity": config()["intensity"], "steps": config()["patch_transform"]})
        first, second = (Shuffled(radiographs, steps.get_parsed_content("steps")) for _ in range(2))
        first[0]
        assert torch.equal(first[4]["image"], second[4]["image"])
        assert not torch.equal(first[4]["image"], second[5]["image"])

    @pytest.mark.parametrize(
        ("way", "message"),
        [
            ({"first": 999_999, "bodies": 2}, "below 1000000"),
            ({"first": 200_000, "bodies": 1}, "below 1000000"),
            ({"bodies": 0}, "has to be one"),
            ({"size": 66}, "multiple of 4"),
        ],
    )
    def test_what_cannot_be_drawn_is_told(self, way: dict[str, int], message: str) -> None:
        with pytest.raises(InputError, match=message):
            Radiographs(**way)


class TestTheMeasure:
    def measured(self, network: torch.nn.Module) -> dict[str, float]:
        cases = [
            {"image": torch.full((1, 2, 2), v), "label": torch.tensor([v > 1, v > 2, True])}
            for v in (0.0, 1.0, 2.0, 3.0)
        ]
        labels = {0: "right", 1: "wrong", 2: "always"}
        way = (SimpleInferer(), torch.device("cpu"), False, lambda _: None)
        return measure_classifier(network, cases, labels, *way).means()

    def test_areas_are_of_labels_that_differ_and_the_mean_is_theirs(self) -> None:
        class Telling(torch.nn.Module):
            def forward(self, image: torch.Tensor) -> torch.Tensor:
                return torch.stack([image.mean(), -image.mean(), image.mean()])[None]

        told = self.measured(Telling())
        assert told[CROSS_ENTROPY] > 0 and "always" not in told
        assert (told["right"], told["wrong"], told[MEAN]) == (1, 0, 0.5)

    def test_who_knows_nothing_has_a_half_and_the_entropy_of_a_coin(self) -> None:
        class Dumb(torch.nn.Module):
            def forward(self, image: torch.Tensor) -> torch.Tensor:
                return torch.zeros(len(image), 3)

        told = self.measured(Dumb())
        assert told[MEAN] == 0.5
        assert told[CROSS_ENTROPY] == pytest.approx(np.log(2))


class TestTheCalibration:
    """What follows from validation goes into the bundle."""

    @staticmethod
    def told(*, exclusive: bool, cases: int = 4000) -> Told:
        """Return what a network says that is three times too sure."""
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(cases, 3, generator=generator)
        if exclusive:
            numbers = torch.distributions.Categorical(logits=logits).sample()
            truth = torch.nn.functional.one_hot(numbers, 3)
            return Told("abc", torch.logit((3 * logits).softmax(1), 1e-7), truth.float(), exclusive=True)
        truth = (torch.rand(cases, 3, generator=generator) < logits.sigmoid()).float()
        truth[::10] = torch.nan
        return Told("abc", 3 * logits, truth)

    def test_of_independent_labels_each_gets_a_slope(self) -> None:
        pairs = self.told(exclusive=False).decided()["calibration"]["labels"]
        np.testing.assert_allclose(list(pairs.values()), [[1 / 3, 0]] * 3, atol=0.08)

    def test_exclusive_ones_share_a_temperature(self) -> None:
        torch.manual_seed(0)
        assert self.told(exclusive=True).decided()["calibration"]["temperature"] == pytest.approx(3, abs=0.3)

    def test_of_few_cases_none_is_fitted(self) -> None:
        assert self.told(exclusive=False, cases=20).decided() == {}


@pytest.mark.slow
def test_it_learns_to_tell_what_it_was_shown(cache: Path, tmp_path: Path) -> None:
    recipe = config(steps=150, exposures=24, batch_size=12)
    recipe["network_def"] |= {"init_features": 16, "growth_rate": 8, "block_config": [2, 2, 2]}
    recipe["validation"]["phantoms"] = recipe["radiographs"] | {"transform": "@case_transform"}
    recipe["patch_transform"]["transforms"] = recipe["case_transform"]["transforms"]
    recipe["radiographs"]["with_regions"] = False
    recipe["loss"] = {"_target_": "DeepImagingLib.training.KnownBCELoss"}
    recipe["trainer"] |= {"validate_every": 50, "average": 0}
    trainer = trainer_of(write(tmp_path / "recipe", recipe), tmp_path / "bundle", cache)
    trainer.run()
    assert trainer.course.best > 0.9


class TestOutliers:
    """What is none of what the network is for is put in, and told."""

    @pytest.mark.parametrize("kind", outliers.KINDS, ids=lambda kind: kind.__name__)
    def test_each_kind_has_the_pictures_shape_and_another_content(self, kind: Any, radiographs: Radiographs) -> None:
        picture = radiographs[0]["image"][0].numpy()
        made = kind(picture, np.random.RandomState(0))
        assert made.shape == picture.shape and np.isfinite(made).all()
        assert np.corrcoef(made.ravel(), picture.ravel())[0, 1] < 0.9

    def test_nothing_else_is_known_of_them(self, radiographs: Radiographs) -> None:
        never, always = (outliers.RandOutlierd("image", prob=prob) for prob in (0.0, 1.0))
        item = radiographs[0]
        assert torch.equal(never(item)["label"], torch.cat([item["label"], torch.ones(1)]))
        label = always(item)["label"]
        assert label[:-1].isnan().all() and label[-1] == 0

    def test_what_is_not_known_costs_nothing(self) -> None:
        logits = torch.tensor([[0.3, -2.0], [5.0, 1.0]], requires_grad=True)
        target = torch.tensor([[1.0, 0.0], [torch.nan, 1.0]])
        loss = KnownBCELoss()(logits, target)
        loss.backward()
        whole = torch.nn.BCEWithLogitsLoss(reduction="none")(logits, target.nan_to_num(0.0))
        assert loss.item() == pytest.approx(whole[~target.isnan()].mean().item())
        assert logits.grad is not None and logits.grad[1, 0] == 0 and (logits.grad != 0).sum() == 3


class TestLeads:
    """A bedside radiograph is crossed by what lies on the patient."""

    def test_they_brighten_a_few_thin_lines(self, radiographs: Radiographs) -> None:
        laid, item = RandLeadsd("image", prob=1.0).set_random_state(3), radiographs[0]
        change = laid(item)["image"] - item["image"]
        assert change.min() >= 0 and change.max() > 0.04
        assert 0.002 < float((change > 0.02).float().mean()) < 0.2

    def test_the_same_seed_lays_the_same(self, radiographs: Radiographs) -> None:
        first, second = (RandLeadsd("image", prob=0.5).set_random_state(7) for _ in range(2))
        for item in (radiographs[n] for n in range(4)):
            assert torch.equal(first(item)["image"], second(item)["image"])
