"""Twenty studies, three of them broken, a batch that is killed, and what else comes in between."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pytest

from DeepImagingLib import Options, load_bundle
from DeepImagingLib.batch import Batch, Study, find_studies
from DeepImagingLib.batch.results import Identity
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.cli import main
from DeepImagingLib.errors import CancelledError, InputError, WorkerError
from DeepImagingLib.files import read
from DeepImagingLib.hosts import WorkerHost
from DeepImagingLib.study import UNNAMED
from Testing.bundles import make_bundles as make
from Testing.command_line.conftest import GRID, write_scan
from Testing.hosts.conftest import workers
from Testing.waiting import until

ROOT = Path(__file__).parents[2]
DEADLY = 30_000
BROKEN = {
    "case03": "is not a readable NIfTI file",
    "case07": "is -1000 everywhere",
    "case11": "The worker ended in the middle of the run",
}
KILLED_AFTER = 4


def write_dangerous(folder: Path, what: str) -> Path:
    """Write a bundle that runs code where a voxel is brighter than any tissue; it needs to be trusted."""
    make.write_spleen_like(folder)
    transforms = make.read_config(folder)["preprocessing"]["transforms"]
    step = {"_target_": "Lambdad", "keys": "@image_key", "func": f"$lambda x: x if x.max() < {DEADLY} else {what}"}
    imports = ["$import os", "$import signal", "$import time"]
    return make.change_config(
        folder, {"imports": imports, "preprocessing#transforms": [*transforms[:2], step, *transforms[2:]]}
    )


def write_deadly_scan(path: Path) -> Path:
    array = np.random.default_rng(0).integers(-1000, 1000, (36, 32, 28)).astype(np.int16)
    array[3, 3, 3] = DEADLY
    return write_scan(path, array=array)


def write_studies(folder: Path) -> None:
    folder.mkdir()
    for number in range(20):
        write_scan(folder / f"case{number:02}.nii.gz", seed=number)
    whole = (folder / "case03.nii.gz").read_bytes()
    (folder / "case03.nii.gz").write_bytes(whole[: len(whole) // 2])
    write_scan(folder / "case07.nii.gz", array=np.full((36, 32, 28), -1000, np.int16))
    write_deadly_scan(folder / "case11.nii.gz")


def start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "DeepImagingLib", "batch", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT)


def reports(folder: Path) -> dict[str, int]:
    """Study to the time when its report was written."""
    return {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.json")}


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return {row["study"]: row for row in csv.DictReader(file)}


@dataclass
class Course:
    """A batch that was killed with -9, and called again."""

    words: list[object]
    output: Path
    at_kill: dict[str, int]
    orphans: int
    code: int


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    top = tmp_path_factory.mktemp("batch")
    write_studies(top / "scans")
    model = write_dangerous(top / "model", "os.kill(os.getpid(), signal.SIGKILL)")
    output = top / "scans" / "results"
    words = [top / "scans", "--model", model, "--output", output, "--trust", fingerprint(model)]
    process = start(*words, "--workers", 2)
    assert until(lambda: len(reports(output)) >= KILLED_AFTER or process.poll() is not None, 60)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert len(workers) == 2
    at_kill = reports(output)
    code = main(["batch", *map(str, words)])
    return Course(words, output, at_kill, len(alive), code)


class TestTwentyStudies:
    def test_the_kill_came_in_the_middle_and_took_the_workers_along(self, course) -> None:
        assert KILLED_AFTER <= len(course.at_kill) < 17
        assert course.orphans == 0

    def test_none_is_lost_and_none_is_done_twice(self, course) -> None:
        done = reports(course.output)
        assert set(done) == {f"case{n:02}" for n in range(20)} - set(BROKEN)
        assert {name: done[name] for name in course.at_kill} == course.at_kill

    def test_every_result_is_whole(self, course) -> None:
        for name in reports(course.output):
            report = json.loads((course.output / f"{name}.json").read_text(encoding="utf-8"))
            mask = np.asarray(read(course.output / f"{name}.seg.nrrd"))
            volume = np.count_nonzero(mask) * abs(np.linalg.det(GRID[:3, :3])) / 1000
            assert report["segments"][0]["milliliters"] == pytest.approx(volume, rel=1e-3) != 0

    def test_the_broken_ones_are_listed_with_the_reason(self, course) -> None:
        assert course.code == 1
        listed = {name: row["error"] for name, row in rows(course.output).items() if row["error"]}
        assert set(listed) == set(BROKEN)
        assert all(words in listed[name] for name, words in BROKEN.items())

    def test_the_summary_tells_of_all(self, course) -> None:
        told = rows(course.output)
        assert list(told) == [f"case{n:02}" for n in range(20)]
        assert all((float(row["spleen (mL)"] or 0) > 0) == (not row["error"]) for row in told.values())
        assert all(float(row["seconds"]) >= 0 for row in told.values())

    def test_nothing_half_written_is_left(self, course) -> None:
        assert {path.name for path in (course.output / ".deepimaging-batch").iterdir()} == {"lock", "failed.json"}

    def test_once_more_does_nothing(self, course, call, monkeypatch) -> None:
        before, submitted = reports(course.output), []
        monkeypatch.setattr(WorkerHost, "submit", lambda _, job, **more: submitted.append(job))
        outcome = call("batch", *course.words)
        assert not submitted
        assert outcome.code == 1
        assert "17 of 20 studies are done (20 ended in an earlier call)." in outcome.out
        assert all(f"Failed: {name}: " in outcome.out for name in BROKEN)
        assert "--retry-failed" in outcome.out
        assert reports(course.output) == before

    def test_other_options_do_not_pass_for_the_same(self, course, call) -> None:
        outcome = call("batch", *course.words, "--roi", "0:30,0:30,0:20")
        assert outcome.code == 2
        assert "the names of 17 studies (at 'case00' the result has another options)" in outcome.err

    def test_one_that_was_mended_is_run_again(self, course, call) -> None:
        """The last one here, since it changes what the others look at."""
        before = reports(course.output)
        write_scan(course.output.parent / "case03.nii.gz", seed=3)
        outcome = call("batch", *course.words, "--json")
        told = {row["study"]: row for row in json.loads(outcome.out)}
        assert told["case03"]["milliliters"]["spleen"] > 0
        assert reports(course.output).items() >= before.items()


class TestStopping:
    @pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
    def test_ctrl_c_keeps_what_is_done(self, bundle, tmp_path) -> None:
        (tmp_path / "in").mkdir()
        for number in range(30):
            write_scan(tmp_path / "in" / f"{number}.nii.gz", seed=number)
        process = start(tmp_path / "in", "--model", bundle, "--output", tmp_path / "out")
        assert until(lambda: reports(tmp_path / "out") or process.poll() is not None, 60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 1
        assert said.startswith("The batch was stopped; ") and said.count("\n") == 1
        assert 1 <= len(reports(tmp_path / "out")) == len(rows(tmp_path / "out")) < 30
        assert not list((tmp_path / "out" / ".deepimaging-batch").glob("stage-*"))

    def test_before_it_began(self, bundle, tmp_path) -> None:
        scan = write_scan(tmp_path / "a.nii.gz")
        batch = Batch(load_bundle(bundle), [Study("a", {UNNAMED: scan})], tmp_path / "out")
        with pytest.raises(CancelledError, match="0 of 1 studies"):
            batch.run(cancel=lambda: True)

    def test_a_study_that_takes_too_long_is_given_up(self, tmp_path) -> None:
        model = write_dangerous(tmp_path / "model", "time.sleep(1000)")
        studies = [Study(name, {UNNAMED: write_deadly_scan(tmp_path / f"{name}.nii.gz")}) for name in "ab"]
        bundle = load_bundle(model, trust=fingerprint(model))
        entries = Batch(bundle, studies, tmp_path / "out", timeout=0.5).run()
        assert [entry.error for entry in entries] == ["It took longer than 0.5 s and was ended."] * 2
        assert all(0.5 < entry.seconds < 5 for entry in entries)


class TestWorkersThatDoNotStart:
    @pytest.fixture
    def batch(self, bundle, tmp_path) -> Batch:
        studies = [Study(name, {UNNAMED: write_scan(tmp_path / f"{name}.nii.gz")}) for name in "ab"]
        return Batch(load_bundle(bundle), studies, tmp_path / "out")

    @staticmethod
    def killing(times: int) -> Callable[[], bool]:
        """Kill that many workers as soon as they are there; asked by the batch whether to stop, it says no."""
        others, killed = set(workers()), set[psutil.Process]()

        def kill() -> bool:
            for process in {*workers()} - others - killed if len(killed) < times else ():
                killed.add(process)
                process.kill()
            return False

        return kill

    def test_one_is_tried_again(self, batch) -> None:
        assert [entry.error for entry in batch.run(cancel=self.killing(1))] == ["", ""]

    def test_two_in_a_row_end_the_batch_and_count_for_no_study(self, batch) -> None:
        with pytest.raises(WorkerError):
            batch.run(cancel=self.killing(2))
        assert not rows(batch.output)


@pytest.mark.skipif(sys.platform == "win32", reason="a file size limit stands for a full disk")
def test_a_full_disk_ends_the_batch_and_counts_for_no_study(bundle, tmp_path) -> None:
    write_scan(tmp_path / "a.nii.gz")
    words = ["batch", str(tmp_path), "--model", str(bundle), "--output", str(tmp_path / "out")]
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"  # notes fit, a mask does not
        "from DeepImagingLib.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert not rows(tmp_path / "out")
    assert main(words) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is always text")
def test_a_name_that_is_no_text_is_a_study_like_others(bundle, call, tmp_path) -> None:
    odd = os.fsdecode(b"\xff")
    write_scan(tmp_path / "good.nii.gz").rename(tmp_path / f"good{odd}.nii.gz")
    (tmp_path / f"bad{odd}.nii.gz").write_bytes(b"no image")
    words = ["batch", tmp_path, "--model", bundle, "--output", tmp_path / odd]
    assert call(*words).code == 1
    assert [(name, bool(row["error"])) for name, row in rows(tmp_path / odd).items()] == [
        ("bad_", True),
        ("good_", False),
    ]
    told = json.loads(call(*words, "--json").out)
    assert [row["input"] for row in told] == [str(tmp_path / f"{name}{odd}.nii.gz") for name in ("bad", "good")]


class TestOptions:
    @pytest.fixture
    def identity(self, bundle, tmp_path) -> Callable[..., Identity]:
        study = Study("a", {UNNAMED: write_scan(tmp_path / "a.nii.gz")})

        def of(**options: object) -> Identity:
            return Batch(load_bundle(bundle), [study], tmp_path / "out", Options(**options)).identity(study)

        return of

    def test_tell_results_apart_where_they_differ_in_them(self, identity) -> None:
        given = [{}, {"tta": "i"}, {"probabilities": ("spleen",)}, {"probabilities": ("all",)}, {"precision": "full"}]
        told = [identity(**options) for options in given]
        assert all(one != other for one, other in combinations(told, 2))
        assert json.loads(json.dumps(told)) == told

    def test_of_where_and_in_how_much_memory_make_no_other_result(self, identity) -> None:
        assert identity(device="cpu", memory_limit=1 << 30) == identity()
        assert identity()["options"] == {"precision": "auto", "roi": None}, "as in results of earlier versions"

    def test_arrive_in_the_workers_and_are_known_again(self, bundle, call, tmp_path) -> None:
        write_scan(tmp_path / "a.nii.gz")
        more = ["--probabilities", "all", "--memory-limit", "4GB", "--tta", "i"]
        words = ["batch", tmp_path, "--model", bundle, "--output", tmp_path / "out", *more]
        assert call(*words).code == 0
        report = json.loads((tmp_path / "out" / "a.json").read_text(encoding="utf-8"))
        told = report["provenance"]["options"]
        assert (told["probabilities"], told["memory_limit"], told["tta"]) == (["all"], 4_000_000_000, "i")
        assert "(1 ended in an earlier call)" in call(*words).out


class TestWrongInput:
    def test_what_fails_for_all_ends_the_batch_and_counts_for_none(self, bundle, call, tmp_path) -> None:
        write_scan(tmp_path / "in.nii.gz")
        words = [tmp_path, "--model", bundle, "--output", tmp_path / "out", "--device", "cuda:7"]
        outcome = call("batch", *words)
        assert outcome.code == 2
        assert "cuda:7" in outcome.err
        assert not rows(tmp_path / "out")
        outcome = call("batch", *words[:-2], "--probabilities", "liver")
        assert outcome.code == 2
        assert "no label 'liver'" in outcome.err
        assert not rows(tmp_path / "out")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--format", ".docx"], "'.docx'"),
            (["--workers", "0"], "workers is 0"),
            (["--timeout", "0"], "0 s"),
            (["--roi", "somewhere"], "somewhere"),
            (["--memory-limit", "4"], "'4'"),
            (["--tta", "ii"], "'ii'"),
            (["--model", "absent"], "'absent'"),
            (["--output", ""], "output folder is empty"),
        ],
    )
    def test_a_wrong_word_is_named(self, bundle, call, tmp_path, words, said) -> None:
        write_scan(tmp_path / "in.nii.gz")
        outcome = call("batch", tmp_path, "--model", bundle, "--output", tmp_path / "out", *words)
        assert outcome.code == 2
        assert said in outcome.err and outcome.err.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_results_never_replace_an_input(self, bundle, tmp_path) -> None:
        scan = write_scan(tmp_path / "a.nii.gz")
        with pytest.raises(InputError, match="would replace an input"):
            Batch(load_bundle(bundle), [Study("a", {UNNAMED: scan})], tmp_path, formats=[".nii.gz"])

    def test_failures_are_run_again_where_asked_for(self, bundle, call, tmp_path) -> None:
        (tmp_path / "list.csv").write_text("name,input\na,\nb,\n")
        words = ["batch", tmp_path / "list.csv", "--model", bundle, "--output", tmp_path / "out"]
        assert [call(*words, *more).out.count(": failed\n") for more in ([], [], ["--retry-failed"])] == [2, 0, 2]


def test_channels_of_a_list_become_one_study(brats, tmp_path) -> None:
    names = ["T1c", "T1", "T2", "FLAIR"]
    for number, name in enumerate(names):
        write_scan(tmp_path / f"{name}.nii.gz", seed=number)
    lines = [",".join(["name", *names]), ",".join(["tumour", *(f"{name}.nii.gz" for name in names)])]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    bundle = load_bundle(brats)
    steps: list[str] = []
    batch = Batch(bundle, find_studies(tmp_path / "list.csv", bundle), tmp_path / "out", formats=[".nii.gz"])
    (entry,) = batch.run(progress=lambda progress: steps.append(progress.stage))
    assert not entry.error
    made = [path.name for path in (tmp_path / "out").glob("*.nii.gz")]
    assert sorted(made) == [f"tumour_{name}.nii.gz" for name in ("Enhancing_tumor", "Tumor_core", "Whole_tumor")]
    assert "0 of 1 studies (Network)" in steps
    volume = nibabel.load(tmp_path / "out" / "tumour_Whole_tumor.nii.gz")
    np.testing.assert_allclose(volume.affine, GRID)


def test_no_name_or_path_goes_into_a_log(bundle, tmp_path, caplog) -> None:
    (tmp_path / "Secret^Name.nii.gz").write_bytes(b"no image")
    with caplog.at_level("INFO"):
        assert main(["batch", str(tmp_path), "--model", str(bundle), "--output", os.fspath(tmp_path / "out")]) == 1
    assert "Secret" not in caplog.text
