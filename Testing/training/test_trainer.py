"""A training leaves a bundle that runs, can be killed at any moment, and ends in time."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from DeepImagingLib import run
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.errors import CancelledError, DeepImagingError, InputError
from DeepImagingLib.inference.progress import Monitor, Progress
from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.training import Trainer, load_recipe
from DeepImagingLib.training.precision import has_units
from DeepImagingLib.training.publish import publish_best
from Testing.training import tiny
from Testing.training.conftest import make_trainer

ROOT = Path(__file__).parents[2]


def weights(output: Path, checkpoint: str = "last.pt") -> dict[str, torch.Tensor]:
    """The weights of a checkpoint."""
    state = torch.load(output / "training" / checkpoint, weights_only=True)["network"]
    assert isinstance(state, dict)
    return state


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Tell whether two sets of weights are the same to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TestTheBundle:
    def test_it_runs_and_names_what_it_finds(self, trained: Path) -> None:
        images, _ = torso_ct.sample(1_000_002, (20.0, 20.0, 20.0))
        result = run(trained, images["ct"])
        recipe = json.loads((trained / "configs" / "train.json").read_text(encoding="utf-8"))
        assert [segment.name for segment in result.segments][:23] == list(recipe["labels"].values())[1:]

    def test_its_weights_are_the_best_ones_in_half_precision(self, trained: Path) -> None:
        published = torch.load(trained / "models" / "model.pt", weights_only=True)
        best = weights(trained, "best.pt")
        assert all(published[name].dtype == torch.float16 for name in best)
        assert same(published, {name: value.half() for name, value in best.items()})

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
    def test_others_may_read_it_where_they_may_read_what_its_owner_writes(self, trained: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert (trained / "models" / "model.pt").stat().st_mode == (tmp_path / "file").stat().st_mode

    def test_its_metadata_tells_how_it_was_made(self, trained: Path) -> None:
        metadata = json.loads((trained / "configs" / "metadata.json").read_text(encoding="utf-8"))
        told = metadata["training"]
        assert (told["steps"], told["seed"], told["precision"]) == (12, 0, "float32")
        assert told["average_decay"] == 0.999
        assert metadata["pytorch_version"] == torch.__version__.partition("+")[0]
        assert "dice, phantoms: mean" in metadata["eval_metrics"]
        assert told["curve"][-1]["step"] == 12

    def test_it_does_not_speak_of_other_weights(self, trained: Path) -> None:
        metadata = json.loads((trained / "configs" / "metadata.json").read_text(encoding="utf-8"))
        assert metadata["version"] == "0.1.0" and "recipe of Torso CT segmentation" in metadata["changelog"]["0.1.0"]
        assert "hidden" not in metadata and not (trained / "docs").exists()
        assert all(name.startswith("dice, phantoms") for name in metadata["eval_metrics"])

    def test_killed_while_it_is_written_it_is_no_bundle(
        self, recipe: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(trained, tmp_path / "bundle")
        monkeypatch.setattr("DeepImagingLib.training.publish._told", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            publish_best(recipe, tmp_path / "bundle")
        assert not (tmp_path / "bundle" / "models" / "model.pt").exists()
        monkeypatch.undo()
        publish_best(recipe, tmp_path / "bundle")
        assert run(tmp_path / "bundle", torso_ct.sample(1_000_002, (20.0, 20.0, 20.0))[0]["ct"]).segments

    def test_its_curve_is_a_table_and_a_picture(self, trained: Path) -> None:
        rows = list(csv.DictReader((trained / "training" / "curve.csv").open(encoding="utf-8")))
        assert [int(row["step"]) for row in rows] == [0, 4, 8, 12]
        assert all(0 <= float(row["phantoms: mean"]) <= 1 for row in rows)
        assert (trained / "training" / "curve.png").read_bytes().startswith(b"\x89PNG")


class TestGoingOn:
    def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(
        self, recipe: Path, trained: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "killed"
        words = [sys.executable, "-c", CHILD, str(recipe), str(output)]
        child = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            step = _wait_for_steps(child, output, 3)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        assert 3 <= step < 12
        make_trainer(recipe, output, resume=True).run()
        assert same(weights(output), weights(trained))
        assert same(weights(output, "best.pt"), weights(trained, "best.pt"))

    def test_a_cancelled_run_says_how_to_go_on_and_does(self, recipe: Path, trained: Path, tmp_path: Path) -> None:
        assert same(weights(_broken(recipe, tmp_path / "bundle")), weights(trained))

    def test_a_recipe_in_yaml_goes_on_as_one_in_json(self, trained: Path, tmp_path: Path) -> None:
        recipe = tiny.write(tmp_path / "recipe")
        told = recipe / "configs" / "train.json"
        text = yaml.safe_dump(json.loads(told.read_text(encoding="utf-8")), sort_keys=False)
        told.with_suffix(".yaml").write_text(text, encoding="utf-8")
        told.unlink()
        assert same(weights(_broken(recipe, tmp_path / "bundle")), weights(trained))

    @pytest.mark.skipif(not has_units(torch.device("cpu")), reason="this processor doesn't compute in bfloat16")
    def test_it_goes_on_in_half_precision_to_the_bit(self, tmp_path: Path) -> None:
        recipe = tiny.write(tmp_path / "recipe", precision="half")
        less = {"steps": 8, "body_count": 1, "cache": str(tmp_path / "cache")}
        whole = make_trainer(recipe, tmp_path / "whole", **less).run()
        broken = _broken(recipe, tmp_path / "broken", **less)
        assert same(weights(broken), weights(whole))
        told = json.loads((broken / "configs" / "metadata.json").read_text(encoding="utf-8"))["training"]
        assert told["precision"] == "bfloat16"

    @pytest.mark.parametrize("end", [CancelledError, SystemExit])
    def test_its_curve_goes_as_far_as_its_last_checkpoint(
        self, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
    ) -> None:
        monkeypatch.setattr("DeepImagingLib.training.trainer.ROW_EVERY", 1)
        trainer = make_trainer(recipe, tmp_path / "bundle")

        def stop(_: Progress) -> None:
            if hasattr(trainer, "course") and trainer.course.step == 3:
                raise end

        with pytest.raises(end):
            trainer.run(Monitor(stop))
        table, picture = (tmp_path / "bundle" / "training" / name for name in ("curve.csv", "curve.png"))
        assert [row["step"] for row in csv.DictReader(table.open(encoding="utf-8"))] == ["0", "1", "2", "3"]
        assert end is not CancelledError or picture.stat().st_mtime_ns >= table.stat().st_mtime_ns

    def test_a_run_that_is_stopped_again_at_once_still_knows_its_steps(
        self, recipe: Path, trained: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(trained, tmp_path / "bundle")
        trainer = make_trainer(recipe, tmp_path / "bundle", resume=True)
        with pytest.raises(CancelledError, match="after 12 steps"):
            trainer.run(Monitor(cancel=lambda: True))

    def test_other_settings_are_refused(self, recipe: Path, trained: Path, tmp_path: Path) -> None:
        shutil.copytree(trained, tmp_path / "bundle")
        for changed in ({"start": "torso_ct_segmentation"}, {"seed": 1}):
            with pytest.raises(InputError, match="settings changed"):
                make_trainer(recipe, tmp_path / "bundle", resume=True, **changed).run()
        make_trainer(recipe, tmp_path / "bundle", resume=True, minutes=5).run()

    @pytest.mark.slow
    def test_patience_counts_as_in_an_unbroken_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recipe = tiny.write(tmp_path / "recipe", patience=3)
        whole = make_trainer(recipe, tmp_path / "whole")
        whole.run()
        monkeypatch.setattr(Trainer, "_train", lambda _: sys.exit("killed after the first checkpoint"))
        with pytest.raises(SystemExit):
            make_trainer(recipe, tmp_path / "broken").run()
        monkeypatch.undo()
        broken = make_trainer(recipe, tmp_path / "broken", resume=True)
        broken.run()
        assert broken.course.fruitless == whole.course.fruitless
        assert [row["step"] for row in broken.course.rows] == [row["step"] for row in whole.course.rows]

    def test_what_is_there_is_not_overwritten_without_being_asked(self, recipe: Path, trained: Path) -> None:
        with pytest.raises(InputError, match="--resume"):
            make_trainer(recipe, trained).run()

    def test_a_foreign_folder_is_left_alone(self, recipe: Path, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(InputError, match="no training"):
            make_trainer(recipe, tmp_path, resume=True).run()
        assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def _broken(recipe: Path, output: Path, **settings: object) -> Path:
    """Return the bundle of a training that was cancelled after 5 steps, and gone on with."""
    trainer = make_trainer(recipe, output, **settings)
    with pytest.raises(CancelledError, match=r"after 5 steps.*--resume"):
        trainer.run(Monitor(cancel=lambda: hasattr(trainer, "course") and trainer.course.step == 5))
    return make_trainer(recipe, output, resume=True, **settings).run()


CHILD = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from DeepImagingLib.inference.progress import Monitor
from Testing.training.conftest import make_trainer
def slowly(progress):
    time.sleep(0.2 if progress.stage == "training" else 0)  # so that there is a moment to be killed in
make_trainer(Path(sys.argv[1]), Path(sys.argv[2])).run(Monitor(slowly))
"""


def _wait_for_steps(child: subprocess.Popen[bytes], output: Path, steps: int) -> int:
    """Return the step of the last checkpoint, once it is one of so many steps."""
    until = time.monotonic() + 120
    while time.monotonic() < until and child.poll() is None:
        if (output / "training" / "last.pt").is_file():
            state = torch.load(output / "training" / "last.pt", weights_only=True)
            if state["course"]["step"] >= steps:
                return int(state["course"]["step"])
        time.sleep(0.05)
    raise AssertionError(f"the child ended with {child.poll()}, or took too long")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny recipe with a coarse stage."""
    return tiny.write(tmp_path_factory.mktemp("recipes") / "staged", staged=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the bodies of several trainings are kept."""
    return str(tmp_path_factory.mktemp("cache"))


class TestACoarseStage:
    def test_the_finer_network_begins_with_its_weights(self, staged: Path, cache: str, tmp_path: Path) -> None:
        bundle = make_trainer(staged, tmp_path / "bundle", cache=cache, steps=0).run()
        coarse = torch.load(bundle / "training" / "coarse" / "best.pt", weights_only=True)["network"]
        inner, outer = "model.1.submodule.1.submodule", "model.1.submodule"
        fine = weights(bundle)
        taken = {name.replace(inner, outer): value for name, value in fine.items() if name.startswith(inner)}
        assert taken and same(taken, {name: value for name, value in coarse.items() if name.startswith(outer)})
        told = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["training"]
        assert told["coarse_stage"]["steps"] == 12

    @pytest.mark.slow
    def test_a_run_cancelled_in_it_goes_on_and_ends_as_an_unbroken_one(
        self, staged: Path, cache: str, tmp_path: Path
    ) -> None:
        whole = make_trainer(staged, tmp_path / "whole", cache=cache).run()
        broken = make_trainer(staged, tmp_path / "broken", cache=cache)
        assert broken.before
        coarse = broken.before.trainer
        with pytest.raises(CancelledError, match=r"after 5 steps.*--resume"):
            broken.run(Monitor(cancel=lambda: hasattr(coarse, "course") and coarse.course.step == 5))
        assert not (tmp_path / "broken" / "models").exists()
        make_trainer(staged, tmp_path / "broken", cache=cache, resume=True).run()
        assert same(weights(tmp_path / "broken"), weights(whole))

    @pytest.mark.slow
    def test_a_run_killed_between_the_stages_goes_on(self, staged: Path, cache: str, tmp_path: Path) -> None:
        whole = make_trainer(staged, tmp_path / "bundle", cache=cache).run()
        expected = weights(whole)
        (whole / "training" / "last.pt").unlink()
        (whole / "training" / "best.pt").unlink()
        make_trainer(staged, tmp_path / "bundle", cache=cache, resume=True).run()
        assert same(weights(whole), expected)

    @pytest.mark.slow
    def test_it_takes_its_share_of_the_time(
        self, staged: Path, cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("DeepImagingLib.training.trainer.CLOSING_SECONDS", 0.0)
        trainer = make_trainer(staged, tmp_path / "bundle", cache=cache, minutes=0.2)
        trainer.run()
        assert trainer.before and trainer.before.trainer.minutes
        assert 0.02 < trainer.before.trainer.minutes <= 0.05
        assert trainer.course.step > 0

    def test_networks_that_do_not_fit_together_are_told(self, staged: Path, cache: str, tmp_path: Path) -> None:
        trainer = make_trainer(staged, tmp_path / "bundle", cache=cache)
        assert trainer.before
        trainer.before.taken = {"model.0": "model.0"}
        with pytest.raises(InputError, match=r"`model.0` of the coarse network doesn't fit"):
            trainer.run()
        assert not trainer.before.trainer.was_begun


class TestEarlierWeights:
    def test_a_training_begins_with_them_and_tells_where_they_come_from(
        self, recipe: Path, trained: Path, tmp_path: Path
    ) -> None:
        bundle = make_trainer(recipe, tmp_path / "bundle", start=str(trained), steps=0).run()
        published = torch.load(trained / "models" / "model.pt", weights_only=True)
        assert same(weights(bundle), {name: value.float() for name, value in published.items()})
        began = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["training"]["began_with"]
        assert began["bundle"] == trained.name and began["sha256"] == fingerprint(trained)
        assert began["training"]["steps"] == 12

    def test_those_of_another_network_are_told(self, recipe: Path, tmp_path: Path) -> None:
        trainer = make_trainer(recipe, tmp_path / "bundle", start="torso_ct_segmentation")
        with pytest.raises(InputError, match="torso_ct_segmentation don't fit"):
            trainer.run()
        assert not (tmp_path / "bundle" / "models").exists()


class TestEnding:
    def test_a_run_of_some_seconds_ends_in_them_with_its_schedule_at_its_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("DeepImagingLib.training.trainer.CLOSING_SECONDS", 1.0)
        recipe = tiny.write(tmp_path / "recipe", validate_every=100_000, checkpoint_seconds=60.0)
        trainer = make_trainer(recipe, tmp_path / "bundle", steps=100_000, minutes=0.15)
        begun = time.monotonic()
        trainer.run()
        assert time.monotonic() - begun < 60  # all its steps would take an hour
        assert 10 < trainer.course.step < 100_000
        # a hundredth of its height: the clock decides which step is the last
        assert trainer.optimizer.param_groups[0]["lr"] < 2e-5

    @pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan")])
    def test_minutes_that_are_none_are_refused(self, recipe: Path, tmp_path: Path, minutes: float) -> None:
        with pytest.raises(InputError, match="minutes"):
            make_trainer(recipe, tmp_path / "bundle", minutes=minutes).run()

    def test_a_run_that_gets_no_better_ends_early(self, tmp_path: Path) -> None:
        recipe = tiny.write(tmp_path / "recipe", validate_every=1, clip=1e-9, average=0)
        trainer = make_trainer(recipe, tmp_path / "bundle", steps=1000, patience=1)
        trainer.optimizer.param_groups[0].update(lr=0.0)
        trainer.lr_scheduler = None
        trainer.run()
        assert trainer.course.step == 1

    @pytest.mark.parametrize(
        "name", ["torso_ct_segmentation", "lung_nodule_ct_detection_small", "chest_xray_findings_small"]
    )
    def test_shipped_recipes_take_a_patience(self, name: str, tmp_path: Path) -> None:
        assert load_recipe(name).trainer("cpu", {"output_dir": str(tmp_path), "patience": 5}).patience == 5

    def test_a_step_without_a_finite_gradient_leaves_the_weights_as_they_are(
        self, recipe: Path, tmp_path: Path
    ) -> None:
        trainer = make_trainer(recipe, tmp_path / "bundle")
        before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
        loss = trainer.loss
        trainer.loss = lambda logits, label: loss(logits, label) * torch.nan
        trainer.run()
        assert trainer.course.skipped == 12
        assert same(trainer.network.state_dict(), before)

    def test_where_half_precision_leaves_no_finite_gradients_it_goes_on_in_full(
        self, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("DeepImagingLib.training.trainer.half_pays", lambda *_: True)
        trainer = make_trainer(recipe, tmp_path / "bundle")
        trainer.precision, loss = "auto", trainer.loss
        trainer.loss = lambda logits, label: loss(logits, label) * (torch.nan if trainer.course.half else 1)
        trainer.run()
        assert (trainer.course.skipped, trainer.course.step, trainer.course.half) == (6, 12, False)

    def test_a_run_in_which_no_gradient_is_finite_is_given_up(
        self, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("DeepImagingLib.training.trainer.MOST_SKIPPED", 3)
        trainer = make_trainer(recipe, tmp_path / "bundle")
        loss = trainer.loss
        trainer.loss = lambda logits, label: loss(logits, label) * torch.inf
        with pytest.raises(DeepImagingError, match="not finite for 3 steps"):
            trainer.run()


def test_the_number_of_processes_that_make_patches_changes_nothing(trained: Path, tmp_path: Path) -> None:
    recipe = tiny.write(tmp_path / "recipe", workers=1)
    make_trainer(recipe, tmp_path / "bundle").run()
    assert same(weights(tmp_path / "bundle"), weights(trained))


@pytest.mark.slow  # plain MONAI trains for 20 s
def test_monai_runs_the_same_file(staged: Path, cache: str, tmp_path: Path) -> None:
    ours = make_trainer(staged, tmp_path / "ours", cache=cache).run()
    settings = {"bundle_root": str(staged), "output_dir": str(tmp_path / "bundle"), "device": "cpu", "cache": cache}
    script = f"from monai.bundle import run; run(config_file={str(staged / 'configs' / 'train.json')!r}, **{settings})"
    words = [sys.executable, "-c", script]  # what `python -m monai.bundle run` does, without its reader of words
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert same(weights(tmp_path / "bundle"), weights(ours))
