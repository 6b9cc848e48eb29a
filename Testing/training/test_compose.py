"""Labelled scans and a bundle become a recipe, and that a bundle with other labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from DeepImagingLib import run
from DeepImagingLib.bundles.bundle import load_bundle
from DeepImagingLib.errors import InputError
from DeepImagingLib.training.cases import Case, Dataset, Facts, as_before, read_dataset, split
from DeepImagingLib.training.compose import Assignment, Draft, draft
from DeepImagingLib.training.old_labels import OldLabelsd
from DeepImagingLib.training.validate import MEAN, Scores
from Testing.bundles.make_bundles import write_spleen_like

QUICK = {"patch": [16, 16, 16], "epochs": 1, "batch_size": 1, "augmentation": []}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the labels background and spleen."""
    return write_spleen_like(tmp_path_factory.mktemp("base") / "spleen_like")


def drafted(
    base: Path | str,
    scans: Path,
    output: Path,
    *,
    keep_old: bool = False,
    labels: tuple[str, ...] = ("stone", "spleen"),
    **settings: object,
) -> Draft:
    """Draft a training of "stone" and "spleen"."""
    dataset = read_dataset(scans, {name: number for number, name in enumerate(labels, 1)})
    return draft(Assignment(dataset, str(base), output, settings={**QUICK, **settings}, keep_old=keep_old))


class TestTheBundle:
    def test_it_finds_what_it_was_trained_on_and_names_no_file(self, base: Path, scans: Path, tmp_path: Path) -> None:
        bundle = drafted(base, scans, tmp_path / "out").begin().run()
        result = run(bundle, scans / "images" / "secret0.nii.gz")
        assert [segment.name for segment in result.segments] == ["stone", "spleen"]
        texts = [path.read_text(encoding="utf-8") for path in (bundle / "configs").iterdir()]
        assert not any("secret" in text or str(scans) in text or str(base) in text for text in texts)
        split = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["data_split"]
        assert [len(split[part]) for part in ("train", "validation")] == [3, 1]
        assert all(len(digest) == 64 for part in split.values() for digest in part)

    def test_few_cases_are_told_one_by_one(self, base: Path, scans: Path, tmp_path: Path) -> None:
        bundle = drafted(base, scans, tmp_path / "out").begin().run()
        told = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
        spread = told["training"]["spread"]["cases"]
        assert spread["labels"] == ["stone", "spleen"]
        mean = told["eval_metrics"]["dice, cases: mean"]
        assert np.mean(spread["cases"][0]) == pytest.approx(mean, abs=2e-3)

    @pytest.mark.slow
    def test_from_scratch_it_learns(self, scans: Path, tmp_path: Path) -> None:
        trainer = drafted("scratch", scans, tmp_path / "out", epochs=60, learning_rate=0.01).begin()
        trainer.run()
        assert trainer.course.best > 0.9


class TestTransfer:
    def test_known_labels_are_named_and_new_ones(self, base: Path, scans: Path, tmp_path: Path) -> None:
        taken = drafted(base, scans, tmp_path / "out").transfer
        assert taken and taken.labels == ("stone",) and not taken.new

    def test_frozen_weights_stay_while_the_head_is_trained(self, base: Path, scans: Path, tmp_path: Path) -> None:
        training = drafted(base, scans, tmp_path / "out", frozen=1.0, epochs=2)
        trainer = training.begin()
        trainer.average = 0.0
        trainer.run()
        before, now = load_bundle(base).build().network.state_dict(), trainer.network.state_dict()
        assert training.transfer
        head = set(training.transfer.rows)
        learnt = {name for name, _ in trainer.network.named_parameters()} - head
        assert all(torch.equal(now[name], before[name]) for name in learnt)
        assert head and not any(now[name].shape == before[name].shape for name in head)

    def test_kept_labels_come_first_and_fill_the_background(self, base: Path, scans: Path, tmp_path: Path) -> None:
        training = drafted(base, scans, tmp_path / "out", keep_old=True, labels=("stone",))
        assert training.labels == ("background", "spleen", "stone")
        trainer = training.begin()
        item = trainer.validation["cases"][0]
        drawn = drafted(base, scans, tmp_path / "other", labels=("stone",)).begin().validation["cases"][0]["label"]
        filled = OldLabelsd("label", str(base))({**item, "label": torch.zeros_like(item["label"])})["label"]
        assert set(item["label"].unique().tolist()) == {0, 1, 2}
        assert torch.equal(item["label"] == 2, drawn == 1), "stones are what they were"
        assert torch.equal(item["label"][drawn == 0], filled[drawn == 0])
        trainer.run()
        metrics = json.loads((tmp_path / "out" / "configs" / "metadata.json").read_text())["eval_metrics"]
        stone = metrics["dice, cases: stone"]
        assert metrics["dice, cases: mean"] == stone, "agreement with the earlier model is told beside it"
        assert "dice, cases: spleen (agreement with the earlier model)" in metrics

    def test_what_somebody_drew_is_not_drawn_over(self, base: Path, scans: Path) -> None:
        image = torch.rand(1, 32, 32, 32)
        nothing = {"image": image, "label": torch.zeros(1, 32, 32, 32)}
        assert OldLabelsd("label", str(base))(nothing)["label"].any()
        assert not OldLabelsd("label", str(base), drawn=[1])(nothing)["label"].any()


class TestGoingOnAgain:
    """A model that was made of one's scans, trained on with more of them."""

    def test_scans_that_were_trained_on_are_never_measured_on(self, base: Path, scans: Path, tmp_path: Path) -> None:
        first = drafted(base, scans, tmp_path / "first")
        bundle = first.begin().run()
        (kept,) = first.assignment.dataset.part("validation")
        for seed in range(4):
            dataset = read_dataset(scans, {"stone": 1, "spleen": 2})
            again = draft(Assignment(dataset, str(bundle), tmp_path / "again", settings=QUICK, seed=seed))
            assert [case.label for case in again.assignment.dataset.part("validation")] == [kept.label]
            assert "4 of the scans were in the training of first" in again.inspection.problems[-1].text

    def test_of_few_new_scans_all_are_trained_on_and_of_more_some_are_kept_back(self) -> None:
        def case(number: int) -> Case:
            return Case((Path(f"{number}.nii"),), Path(f"{number}.nrrd"), f"subject {number}")

        def facts(one: Case) -> Facts:
            nothing = np.zeros((1, 1), np.float32)
            return Facts(one, (4, 4, 4), (1.0, 1.0, 1.0), np.array([60, 4]), nothing, nothing, one.subject)

        earlier = {"train": ["subject 0", "subject 1"], "validation": ["subject 2"]}
        for new in (1, 8):
            cases = tuple(map(case, range(3 + new)))
            dataset, known = as_before(Dataset(cases, {"liver": 1}), list(map(facts, cases)), earlier, 0)
            assert known == 3
            parts = split(dataset, list(map(facts, cases)), 0)
            measured = {int(one.label.stem) for one in parts.part("validation")}
            assert 2 in measured and not measured & {0, 1}
            assert len(measured) == (1 if new == 1 else 3)


class TestTheOutput:
    def test_what_lies_there_is_left_alone(self, base: Path, scans: Path, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(InputError, match="name an empty one"):
            drafted(base, scans, tmp_path).begin()
        assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]

    def test_gone_on_with_other_settings_what_is_there_stays(self, base: Path, scans: Path, tmp_path: Path) -> None:
        first = drafted(base, scans, tmp_path / "out")
        first.begin().run()
        again = replace(first.assignment, resume=True)
        with pytest.raises(InputError, match="settings changed"):
            draft(replace(again, settings={**QUICK, "epochs": 2})).begin()
        recipe = tmp_path / "out" / "training" / "recipe" / "configs" / "train.json"
        assert json.loads(recipe.read_text(encoding="utf-8"))["epochs"] == 1
        draft(again).begin().run()

    def test_a_training_is_only_gone_on_with_where_that_is_asked_for(
        self, base: Path, scans: Path, tmp_path: Path
    ) -> None:
        drafted(base, scans, tmp_path / "out").begin().run()
        with pytest.raises(InputError, match="--resume"):
            drafted(base, scans, tmp_path / "out", epochs=2).begin()
        assert (
            json.loads((tmp_path / "out" / "training" / "recipe" / "configs" / "train.json").read_text())["epochs"] == 1
        )


class TestSettings:
    def test_what_is_set_by_name_wins(self, base: Path, scans: Path, tmp_path: Path) -> None:
        loss = {"_target_": "DiceCELoss", "softmax": True, "to_onehot_y": True}
        training = drafted(base, scans, tmp_path / "out", loss=loss, learning_rate=0.5)
        trainer = training.begin()
        assert type(trainer.loss).__name__ == "DiceCELoss" and trainer.optimizer.defaults["lr"] == 0.5
        assert training.plan["learning_rate"].reason == "as you set it"

    def test_an_unknown_setting_is_told_with_those_there_are(self, base: Path, scans: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no setting 'learning'; there are .*learning_rate"):
            drafted(base, scans, tmp_path / "out", learning=0.5)
        assert not (tmp_path / "out").exists()

    def test_nothing_can_be_kept_from_scratch(self, scans: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="--keep-old"):
            drafted("scratch", scans, tmp_path / "out", keep_old=True)


class TestSpread:
    def test_intervals_hold_the_mean_and_widen_where_subjects_are_few(self) -> None:
        dice = np.random.default_rng(0).uniform(0.5, 1, (40, 1))
        scores = Scores(("liver",), dice)
        alone, in_pairs = (scores.intervals([str(n // size) for n in range(40)])["liver"] for size in (1, 8))
        assert alone[0] < scores.means()["liver"] < alone[1]
        assert alone[1] - alone[0] < 0.15

        same = Scores(("liver",), np.repeat(dice[:5], 8, axis=0))
        clustered = same.intervals([str(n // 8) for n in range(40)])[MEAN]
        naive = same.intervals([str(n) for n in range(40)])[MEAN]
        assert clustered[1] - clustered[0] > 1.5 * (naive[1] - naive[0])
        assert in_pairs[0] < in_pairs[1]

    def test_a_label_that_no_case_has_is_left_out(self) -> None:
        scores = Scores(("liver", "spleen"), np.array([[0.5, np.nan], [0.7, np.nan]]))
        assert scores.means() == {"liver": pytest.approx(0.6), MEAN: pytest.approx(0.6)}


@pytest.mark.slow
def test_old_labels_are_forgotten_and_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    """The shipped model is taught the spinal canal on made scans: the liver goes without --keep-old, not with it."""
    from DeepImagingLib.phantoms import torso_ct
    from DeepImagingLib.phantoms.hounsfield import render
    from DeepImagingLib.phantoms.torso import Material, Organ

    bodies = {}
    for name in ("images", "labels"):
        (tmp_path / "scans" / name).mkdir(parents=True)
    for seed in range(1_000_300, 1_000_305):
        materials, organs, affine = torso_ct.draw(seed, (4.0, 4.0, 4.0), (400, 320, 300))
        image = render(materials, (4.0, 4.0, 4.0), np.random.default_rng(seed))
        bodies[seed] = organs
        for name, values in (("images", image), ("labels", (materials == Material.CORD).astype(np.uint8))):
            nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "scans" / name / f"{seed}.nii.gz")
    dataset = read_dataset(tmp_path / "scans", {"spinal canal": 1})
    seed = 1_000_304
    found = {}
    for keep in (False, True):
        assignment = Assignment(dataset, "torso_ct_segmentation", tmp_path / str(keep), keep_old=keep)
        bundle = draft(replace(assignment, settings={"epochs": 60})).begin().run()
        result = run(bundle, tmp_path / "scans" / "images" / f"{seed}.nii.gz")
        found[keep] = {segment.name: result.mask(segment) for segment in result.segments}
    before = run("torso_ct_segmentation", tmp_path / "scans" / "images" / f"{seed}.nii.gz").mask("liver")
    assert "liver" not in found[False], "a new head has forgotten it"
    liver = found[True]["liver"]
    assert 2 * (liver & before).sum() / (liver.sum() + before.sum()) > 0.9
    assert "spinal canal" in found[True] and (bodies[seed] == Organ.LIVER).any()
