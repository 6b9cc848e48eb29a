"""Whole results under final names, whatever happens and whenever."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from DeepImagingLib.batch import Entry, Study
from DeepImagingLib.batch.results import Results
from DeepImagingLib.errors import InputError

FORMATS = [".nii.gz", ".seg.nrrd"]
IDENTITY = {"model": "m", "options": {"roi": None}, "image": "i"}
STUDY = Study("p1", {"scan": Path("p1.nii")})
CHANGED = IDENTITY | {"image": "j"}


def result(millilitres: float = 7.0) -> dict:
    segments = [{"id": "liver", "name": "Liver", "milliliters": millilitres}]
    return {"segments": segments, "provenance": {"notes": []}}


def keep(results: Results, content: str = "voxels", identity: dict = IDENTITY, formats: list[str] = FORMATS) -> None:
    stage = results.stage()
    for ending in formats:
        (stage / f"p1{ending}").write_text(content)
    results.keep(stage, Entry(STUDY, 1.5, result()), identity, formats)


def shown(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def reported(folder: Path) -> tuple[dict | None, dict[str, str]]:
    """Return what the report says that the result is of, and what is in its files."""
    left = shown(folder)
    if "p1.json" not in left:
        return None, {}
    made = json.loads(left["p1.json"])["batch"]
    return made["identity"], {file: left[file] for file in made["files"]}


def test_what_was_kept_is_known_later(tmp_path) -> None:
    with Results(tmp_path / "new" / "out") as results:
        assert results.known(STUDY, IDENTITY, FORMATS) is None
        keep(results)
    with Results(tmp_path / "new" / "out") as results:
        known = results.known(STUDY, IDENTITY, FORMATS[:1])
        assert known is not None and known.earlier and known.seconds == 1.5 and known.segments == result()["segments"]
        assert results.known(STUDY, CHANGED, FORMATS) is None
        assert results.known(STUDY, IDENTITY, [".mrb"]) is None
        (tmp_path / "new" / "out" / "p1.nii.gz").unlink()
        assert results.known(STUDY, IDENTITY, FORMATS) is None


def test_a_failure_is_known_until_it_is_overcome(tmp_path) -> None:
    with Results(tmp_path) as results:
        results.note_failure(Entry(STUDY, 2.0, error="It is broken."), IDENTITY)
    with Results(tmp_path) as results:
        known = results.known(STUDY, IDENTITY, FORMATS)
        assert known is not None and known.error == "It is broken."
        assert results.known(STUDY, CHANGED, FORMATS) is None
        keep(results)
    with Results(tmp_path) as results:
        known = results.known(STUDY, IDENTITY, FORMATS)
        assert known is not None and not known.error


def test_a_probability_volume_that_was_edited_is_not_replaced(tmp_path) -> None:
    with Results(tmp_path) as results:
        stage = results.stage()
        for name in ("p1.seg.nrrd", "p1_probability_liver.nrrd"):
            (stage / name).write_text("voxels")
        results.keep(stage, Entry(STUDY, 1.5, result()), IDENTITY, FORMATS[1:])
        results.check_free({"p1": IDENTITY}, FORMATS[1:])
        (tmp_path / "p1_probability_liver.nrrd").write_text("other voxels")
        with pytest.raises(InputError, match=r"'p1_probability_liver.nrrd' was changed"):
            results.check_free({"p1": IDENTITY}, FORMATS[1:])


class TestKilled:
    """The process ends at every place where it moves or removes something."""

    CODE = """
import json, os, pathlib, sys
from Testing.batch import test_results as t
folder, die_at, (formats, identity) = pathlib.Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
def deadly(real):
    def call(*args, **more):
        deadly.left -= 1
        if deadly.left == 0:
            os._exit(9)
        return real(*args, **more)
    return call
results = t.Results(folder, replace=identity != t.IDENTITY)
deadly.left = die_at
os.replace, pathlib.Path.unlink = deadly(os.replace), deadly(pathlib.Path.unlink)
t.keep(results, "new", identity, formats)
os._exit(0)
"""

    @pytest.mark.parametrize(
        ("before", "after", "identity"),
        [([], FORMATS, IDENTITY), (FORMATS, FORMATS[1:], CHANGED), (FORMATS[:1], FORMATS[1:], IDENTITY)],
    )
    def test_a_report_always_has_its_files_and_nothing_is_lost(self, tmp_path, before, after, identity) -> None:
        older = {f"p1{ending}": "old" for ending in before}
        newer = {f"p1{ending}": "new" for ending in after} | (older if identity == IDENTITY else {})
        seen = set()
        for die_at in range(1, 20):
            folder = tmp_path / str(die_at)
            with Results(folder) as results:
                if before:
                    keep(results, "old", formats=before)
            words = [sys.executable, "-c", self.CODE, str(folder), str(die_at), json.dumps([after, identity])]
            ended = subprocess.run(words, cwd=Path(__file__).parents[2], check=False).returncode
            left = shown(folder)
            told, files = reported(folder)
            assert (told, files) in [(None, {}), (IDENTITY, older), (identity, newer)]
            seen.add(len(left))
            complete = bool(list((folder / ".deepimaging-batch").glob("stage-*/.complete")))
            with Results(folder) as results:
                known = results.known(STUDY, identity, after)
                assert (known is not None) == (complete or "new" in left.values())
            told, files = reported(folder)
            assert (told, files) == ((identity, newer) if known else (IDENTITY if before else None, older))
            assert shown(folder).keys() - {"p1.json"} == files.keys()
            assert not list((folder / ".deepimaging-batch").glob("stage-*"))
            if ended == 0:
                break
        assert ended == 0 and die_at > 3
        assert len(seen) > 2, "it was killed at too few places"


class TestOthers:
    def test_a_second_batch_on_the_folder_is_refused_while_the_first_lives(self, tmp_path) -> None:
        with Results(tmp_path) as results:
            stage = results.stage()
            with pytest.raises(InputError, match="Another batch is writing to"):
                Results(tmp_path)
            assert stage.exists()
        assert not stage.exists()
        Results(tmp_path).__exit__()

    def test_results_of_another_image_are_replaced_only_if_asked_to(self, tmp_path) -> None:
        with Results(tmp_path) as results:
            keep(results, "old")
            results.check_free({"p1": IDENTITY, "p2": IDENTITY}, FORMATS)
            with pytest.raises(InputError, match=r"1 studies \(at 'p1' the result has another model and image"):
                results.check_free({"p1": CHANGED | {"model": "n"}}, FORMATS)
        with Results(tmp_path, replace=True) as results:
            results.check_free({"p1": CHANGED}, FORMATS)
            keep(results, "new", CHANGED)
        assert shown(tmp_path)["p1.seg.nrrd"] == "new"

    @pytest.mark.parametrize("name", ["p1.json", "p1.seg.nrrd"])
    def test_a_file_of_someone_else_stays(self, tmp_path, name) -> None:
        (tmp_path / name).write_text('{"batch": 3}')
        with Results(tmp_path) as results, pytest.raises(InputError, match="is no result of a batch"):
            results.check_free({"p1": IDENTITY}, FORMATS)

    def test_also_one_whose_name_was_not_foreseen(self, tmp_path) -> None:
        (tmp_path / "p1.nii.gz").write_text("by hand")
        with Results(tmp_path) as results, pytest.raises(InputError, match="is no result of a batch"):
            keep(results)
        assert shown(tmp_path) == {"p1.nii.gz": "by hand"}

    def test_another_format_joins_what_is_there_as_it_is(self, tmp_path) -> None:
        with Results(tmp_path) as results:
            keep(results, formats=[".seg.nrrd"])
        (tmp_path / "p1.seg.nrrd").write_text("edited")
        with Results(tmp_path) as results:
            results.check_free({"p1": IDENTITY}, [".nii.gz"])
            keep(results, formats=[".nii.gz"])
            assert results.known(STUDY, IDENTITY, FORMATS)
        assert reported(tmp_path) == (IDENTITY, {"p1.seg.nrrd": "edited", "p1.nii.gz": "voxels"})

    def test_what_was_edited_is_replaced_only_if_asked_to(self, tmp_path) -> None:
        with Results(tmp_path) as results:
            keep(results, formats=[".seg.nrrd"])
        (tmp_path / "p1.seg.nrrd").write_text("edited")
        with Results(tmp_path) as results:
            keep(results, formats=[".nii.gz"])
            with pytest.raises(InputError, match=r"at 'p1' 'p1\.seg\.nrrd' was changed"):
                results.check_free({"p1": IDENTITY}, FORMATS)
            with pytest.raises(InputError, match="was changed"):
                keep(results)
        assert shown(tmp_path)["p1.seg.nrrd"] == "edited"
        with Results(tmp_path, replace=True) as results:
            results.check_free({"p1": IDENTITY}, FORMATS)
            keep(results)
        assert shown(tmp_path)["p1.seg.nrrd"] == "voxels"

    def test_a_folder_that_cannot_be_made(self, tmp_path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="can't be written to"):
            Results(tmp_path / "file" / "out")


def test_the_table_has_a_column_for_each_segment_of_any_study(tmp_path) -> None:
    other = {"segments": [{"id": "spleen", "name": "Spleen, left", "milliliters": 0.5}]}
    other["provenance"] = {"notes": ["No CT.", "Sides?"]}
    studies = [Study(name, {"scan": Path(f"{name}.nii")}) for name in "abc"]
    entries = [
        Entry(studies[0], 1.0, result()),
        Entry(studies[1], 2.0, error='It "broke", badly.'),
        Entry(studies[2], 3.0, other),
    ]
    with Results(tmp_path) as results:
        results.write_summary(entries)
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["study", "input", "Liver (mL)", "Spleen, left (mL)", "seconds", "error", "notes"],
        ["a", "a.nii", "7.0", "", "1.0", "", ""],
        ["b", "b.nii", "", "", "2.0", 'It "broke", badly.', ""],
        ["c", "c.nii", "", "0.5", "3.0", "", "No CT. Sides?"],
    ]
