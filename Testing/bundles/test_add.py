"""Models of the user's own: added from a folder or an archive whole or not at all, found again, and removed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from DeepImagingLib.bundles import add as adding
from DeepImagingLib.bundles import find_bundle, list_bundles, load_bundle
from DeepImagingLib.bundles.add import add_bundle, remove_bundle
from DeepImagingLib.errors import BundleError, CancelledError, OutputError, TrustError

KILLED_WHILE_COPYING = """
import os, sys
from DeepImagingLib.bundles.add import add_bundle
add_bundle(sys.argv[1], cancel=lambda: os._exit(9))
"""
KILLED_WHILE_REPLACING = """
import os, sys
from pathlib import Path
from DeepImagingLib.bundles.add import add_bundle
rename, calls = Path.rename, []
Path.rename = lambda self, target: (calls.append(rename(self, target)) if not calls else os._exit(9))
add_bundle(sys.argv[1], replace=True)
"""

Change = Callable[[zipfile.ZipFile], object]


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder, which isn't there yet; its path has a space and an umlaut."""
    folder = tmp_path / "my mödels"
    monkeypatch.setenv("DEEPIMAGING_MODELS", str(folder))
    return folder


def pack(bundle: Path, archive: Path, top: str = "spleen_zip/", change: Change = lambda _: None) -> Path:
    """Pack a bundle below `top`; `change` adds to the archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(bundle.rglob("*")):
            packed.write(path, top + path.relative_to(bundle).as_posix())
        change(packed)
    return archive


def contents(folder: Path) -> dict[str, bytes]:
    """Map each file's name in a folder to what it holds."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(
    path: Path, models: Path, *, match: str, error: type[Exception] = BundleError, replace: bool = False
) -> None:
    """Add what can't be added: one sentence, and the model folder is as it was."""
    before = contents(models)
    with pytest.raises(error, match=match) as raised:
        add_bundle(path, replace=replace)
    assert "\n" not in str(raised.value)
    assert contents(models) == before
    assert not [entry for entry in models.glob("*") if entry.name.startswith(".")]


class TestAdd:
    def test_a_folder_is_found_by_its_name_afterwards(self, spleen: Path, models: Path) -> None:
        added = add_bundle(spleen)
        assert added == models / "spleen_like"
        assert contents(added) == contents(spleen)
        assert find_bundle("spleen_like") == added.resolve()
        assert load_bundle("spleen_like").sha256 == load_bundle(spleen).sha256

    @pytest.mark.parametrize(("top", "name"), [("spleen_zip/", "spleen_zip"), ("", "my model")])
    def test_an_archive_may_hold_the_bundle_in_a_folder_or_at_its_top(
        self, spleen: Path, tmp_path: Path, top: str, name: str
    ) -> None:
        added = add_bundle(pack(spleen, tmp_path / "my model.zip", top))
        assert added.name == name
        assert contents(added) == contents(spleen)

    def test_an_archive_packed_on_windows_is_read(self, spleen: Path, tmp_path: Path) -> None:
        archive = tmp_path / "a.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for name, content in contents(spleen).items():
                info = zipfile.ZipInfo()
                info.filename = "spleen\\" + name.replace("/", "\\")
                packed.writestr(info, content)
        assert contents(add_bundle(archive)) == contents(spleen)

    def test_litter_of_the_system_stays_outside(self, spleen: Path, tmp_path: Path) -> None:
        litter = ("__MACOSX/spleen_zip/._configs", "spleen_zip/.DS_Store", "readme.txt")
        archive = pack(spleen, tmp_path / "a.zip", change=lambda packed: [packed.writestr(n, "x") for n in litter])
        assert contents(add_bundle(archive)) == contents(spleen)

    def test_linked_files_are_copied(self, bundle: Path, tmp_path: Path) -> None:
        weights = next(bundle.glob("models/*.pt"))
        elsewhere = weights.rename(tmp_path / "blob")
        weights.symlink_to(elsewhere)
        added = add_bundle(bundle)
        assert (added / "models" / weights.name).read_bytes() == elsewhere.read_bytes()
        assert not (added / "models" / weights.name).is_symlink()

    def test_what_needs_trust_is_added_and_still_needs_it(self, bundle: Path, canary: Path) -> None:
        config = bundle / "configs" / "inference.json"
        program = f'$open({str(canary)!r}, "w")'.replace('"', "'").replace("\\", "/")
        config.write_text(config.read_text().replace('"_target_": "UNet"', f'"_target_": "UNet", "act": "{program}"'))
        added = add_bundle(bundle)
        assert added in list_bundles()
        with pytest.raises(TrustError):
            load_bundle(added.name)
        assert not canary.exists()

    def test_a_model_that_is_not_there_is_refused(self, models: Path, tmp_path: Path) -> None:
        refused(tmp_path / "nowhere.zip", models, match=r"There is no '.*nowhere\.zip'")

    def test_what_is_no_archive_is_refused(self, models: Path, tmp_path: Path) -> None:
        (tmp_path / "scan.zip").write_bytes(b"not a zip at all")
        refused(tmp_path / "scan.zip", models, match=r"scan\.zip can't be read")

    def test_an_archive_without_a_bundle_is_refused(self, models: Path, tmp_path: Path) -> None:
        archive = pack(tmp_path / "empty", tmp_path / "a.zip", change=lambda packed: packed.writestr("a/b.txt", "x"))
        refused(archive, models, match="holds no MONAI bundle")

    def test_two_bundles_at_once_are_refused(self, spleen: Path, models: Path, tmp_path: Path) -> None:
        archive = pack(spleen, tmp_path / "a.zip", change=lambda p: p.writestr("other/configs/metadata.json", "{}"))
        refused(archive, models, match="2 bundles")

    def test_a_bundle_that_cannot_be_read_is_refused_and_leaves_nothing(self, bundle: Path, models: Path) -> None:
        (bundle / "configs" / "inference.json").write_text("{")
        refused(bundle, models, match=r"inference\.json, line 1")

    def test_a_bundle_without_weights_is_refused(self, bundle: Path, models: Path) -> None:
        shutil.rmtree(bundle / "models")
        refused(bundle, models, match="weights")

    def test_a_damaged_archive_is_refused(self, spleen: Path, models: Path, tmp_path: Path) -> None:
        archive = pack(spleen, tmp_path / "a.zip")
        content = bytearray(archive.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 64] = bytes(64)
        archive.write_bytes(content)
        refused(archive, models, match="get it again")

    @pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
    def test_a_folder_that_cannot_be_written_is_said(self, spleen: Path, models: Path) -> None:
        models.mkdir(mode=0o500)
        refused(spleen, models, match="DEEPIMAGING_MODELS", error=OutputError)

    def test_a_model_folder_that_is_a_file_is_said(self, spleen: Path, models: Path) -> None:
        models.write_text("a file")
        with pytest.raises(OutputError, match="DEEPIMAGING_MODELS"):
            add_bundle(spleen)


class TestNames:
    def test_a_taken_name_is_refused_and_the_model_stays(self, spleen: Path, bundle: Path, models: Path) -> None:
        add_bundle(spleen)
        renamed = bundle.rename(bundle.with_name("SPLEEN_like"))
        refused(renamed, models, match="spleen_like already; replace it")

    def test_the_name_of_a_shipped_model_is_refused(self, spleen: Path, models: Path, tmp_path: Path) -> None:
        shipped = list_bundles()[0].name
        refused(pack(spleen, tmp_path / "a.zip", f"{shipped}/"), models, match=f"{shipped} already")

    def test_a_model_is_replaced_where_that_is_asked_for(self, spleen: Path, bundle: Path, models: Path) -> None:
        add_bundle(spleen)
        (bundle / "docs").mkdir()
        (bundle / "docs" / "README.md").write_text("newer")
        newer = bundle.rename(bundle.with_name("spleen_like"))
        assert contents(add_bundle(newer, replace=True)) == contents(newer)
        assert [entry.name for entry in models.iterdir()] == ["spleen_like"]

    def test_an_older_model_stays_where_the_newer_cannot_be_read(
        self, spleen: Path, bundle: Path, models: Path
    ) -> None:
        add_bundle(spleen)
        (bundle / "configs" / "inference.json").unlink()
        refused(bundle.rename(bundle.with_name("spleen_like")), models, match="has none of", replace=True)

    def test_a_folder_that_is_no_model_is_never_replaced(self, spleen: Path, models: Path) -> None:
        (models / "spleen_like").mkdir(parents=True)
        (models / "spleen_like" / "thesis.docx").write_text("mine")
        refused(spleen, models, match="is no model", replace=True)

    @pytest.mark.parametrize("name", [".hidden", "a:b", "con", "tab\there"])
    def test_a_name_no_model_can_have_is_refused(self, spleen: Path, models: Path, tmp_path: Path, name: str) -> None:
        refused(Path(shutil.copytree(spleen, tmp_path / name)), models, match="named")


class TestHostileArchives:
    @pytest.mark.parametrize(
        "name",
        [
            "../evil.py",
            "spleen_zip/../../evil.py",
            "/evil.py",
            "//server/share/evil.py",
            "C:/evil.py",
            "c:evil.py",
            "..\\evil.py",
            "spleen_zip\\..\\..\\evil.py",
            "spleen_zip/models/model.pt:stream",
            "spleen_zip/NUL",
            "spleen_zip/.. /evil.py",
            "spleen_zip/a\nb",
            "spleen_zip/" + "deep/" * 40 + "x",
            "spleen_zip/" + "n" * 300,
        ],
    )
    def test_a_name_that_leads_elsewhere_is_refused(
        self, spleen: Path, models: Path, tmp_path: Path, name: str
    ) -> None:
        archive = pack(spleen, tmp_path / "a.zip", change=lambda packed: packed.writestr(name, "evil"))
        refused(archive, models, match="which no model needs")
        assert not list(tmp_path.rglob("evil.py"))

    @pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
    def test_links_and_devices_are_refused(self, spleen: Path, models: Path, tmp_path: Path, kind: int) -> None:
        info = zipfile.ZipInfo("spleen_zip/link")
        info.external_attr = (kind | 0o777) << 16
        archive = pack(spleen, tmp_path / "a.zip", change=lambda packed: packed.writestr(info, "/etc/passwd"))
        refused(archive, models, match="link or device")

    def test_a_bomb_is_refused_before_it_is_unpacked(self, spleen: Path, models: Path, tmp_path: Path) -> None:
        def arm(packed: zipfile.ZipFile) -> None:
            with packed.open("spleen_zip/models/huge.bin", "w") as file:
                for _ in range(300):
                    file.write(bytes(1 << 20))

        refused(pack(spleen, tmp_path / "a.zip", change=arm), models, match=r"would grow to 0\.3 GB")
        assert not models.exists()

    def test_too_many_files_are_refused(
        self, spleen: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adding, "MAX_FILES", 20)
        many = pack(spleen, tmp_path / "a.zip", change=lambda p: [p.writestr(f"spleen_zip/{n}", "") for n in range(21)])
        refused(many, models, match="more than a model has")

    def test_one_name_twice_is_refused(self, spleen: Path, models: Path, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="Duplicate"):
            archive = pack(spleen, tmp_path / "a.zip", change=lambda p: [p.writestr("spleen_zip/x", w) for w in "ab"])
        refused(archive, models, match="Two files there are named")

    def test_a_file_that_is_a_folder_too_is_refused(self, spleen: Path, models: Path, tmp_path: Path) -> None:
        names = ("spleen_zip/x", "spleen_zip/x/y")
        archive = pack(spleen, tmp_path / "a.zip", change=lambda packed: [packed.writestr(n, "") for n in names])
        refused(archive, models, match="Two files there are named")

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        name=st.lists(
            st.sampled_from(["..", ".", "", "a", "C:", "spleen_zip", "é", " ", "x.", "aux", "\0", "~"])
            | st.text(max_size=6)
        )
        .flatmap(lambda parts: st.sampled_from(["/", "\\"]).map(lambda slash: slash.join(parts)))
        .filter(lambda name: bool(name) and "\0" not in name[:1])
    )
    def test_no_name_writes_outside_the_model_folder(self, spleen: Path, tmp_path: Path, name: str) -> None:
        place = tmp_path / "sandbox"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        info = zipfile.ZipInfo()
        info.filename = name
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DEEPIMAGING_MODELS", str(place / "models"))
            try:
                archive = pack(spleen, tmp_path / "a.zip", change=lambda packed: packed.writestr(info, "evil"))
            except UnicodeEncodeError:
                return  # no archive can hold this name
            try:
                added = add_bundle(archive, replace=True)
            except (BundleError, OutputError):
                assert not contents(place)
            else:
                assert added.parent == place / "models"
                assert set(contents(place / "models")) == {f"spleen_zip/{file}" for file in contents(added)}
        assert {entry.name for entry in place.iterdir()} <= {"models"}


class TestHostileFolders:
    def test_a_link_to_a_folder_is_refused(self, bundle: Path, models: Path, tmp_path: Path) -> None:
        (tmp_path / "private").mkdir()
        (bundle / "docs").symlink_to(tmp_path / "private", target_is_directory=True)
        refused(bundle, models, match="no plain file or folder")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
    def test_a_pipe_is_refused_and_not_waited_for(self, bundle: Path, models: Path) -> None:
        os.mkfifo(bundle / "models" / "pipe")
        refused(bundle, models, match="no plain file or folder")


class TestInterruptions:
    def test_a_cancelled_addition_leaves_nothing(self, spleen: Path, models: Path) -> None:
        asked = iter([False, False, True])
        with pytest.raises(CancelledError, match="nothing was kept"):
            add_bundle(spleen, cancel=lambda: next(asked))
        assert list(models.iterdir()) == []

    @pytest.mark.parametrize("change", [add_bundle, lambda _: remove_bundle("other")])
    def test_what_a_killed_process_left_is_removed_at_the_next_change(
        self, spleen: Path, models: Path, tmp_path: Path, change: Callable[[Path], object]
    ) -> None:
        add_bundle(Path(shutil.copytree(spleen, tmp_path / "other")))
        self.kill(KILLED_WHILE_COPYING, spleen)
        assert len(list(models.glob(".*"))) == 1
        change(spleen)
        assert not list(models.glob(".*"))

    def test_what_is_being_copied_stays(self, spleen: Path, models: Path, tmp_path: Path) -> None:
        other = Path(shutil.copytree(spleen, tmp_path / "other"))
        asked = []

        def add_another() -> bool:
            if not asked:
                asked.append(add_bundle(other))
            return False

        added = add_bundle(spleen, cancel=add_another)
        assert contents(added) == contents(asked[0]) == contents(spleen)
        assert sorted(models.iterdir()) == [models / "other", models / "spleen_like"]

    def test_what_a_process_of_another_machine_copies_stays(self, spleen: Path, models: Path) -> None:
        theirs = models / ".changing-elsewhere-999999999-abcdefgh"
        theirs.mkdir(parents=True)
        add_bundle(spleen)
        assert theirs.exists()

    def test_no_model_is_lost_where_a_process_is_killed_while_it_replaces_one(
        self, spleen: Path, models: Path, tmp_path: Path
    ) -> None:
        add_bundle(spleen)
        newer = Path(shutil.copytree(spleen, tmp_path / "newer" / spleen.name))
        (newer / "docs").mkdir()
        (newer / "docs" / "README.md").write_text("newer")
        self.kill(KILLED_WHILE_REPLACING, newer)
        assert not (models / spleen.name).exists()
        add_bundle(Path(shutil.copytree(spleen, tmp_path / "other")))
        assert contents(models / spleen.name) == contents(newer)
        assert not list(models.glob(".*"))

    @staticmethod
    def kill(code: str, bundle: Path) -> None:
        """Add a bundle in a process that ends in the middle, without tidying up."""
        assert subprocess.run([sys.executable, "-c", code, str(bundle)], check=False).returncode == 9


class TestRemove:
    def test_an_own_model_is_gone_afterwards(self, spleen: Path, models: Path) -> None:
        remove_bundle(add_bundle(spleen).name)
        assert list(models.iterdir()) == []

    def test_a_linked_model_loses_its_link_only(self, spleen: Path, models: Path) -> None:
        models.mkdir()
        (models / "linked").symlink_to(spleen, target_is_directory=True)
        remove_bundle("linked")
        assert list(models.iterdir()) == []
        assert contents(spleen)

    @pytest.mark.parametrize("name", ["torso_ct_segmentation", "nothing", "..", ""])
    def test_what_is_not_the_users_stays(self, spleen: Path, name: str) -> None:
        add_bundle(spleen)
        before = list_bundles()
        with pytest.raises(BundleError, match=r"none of your own models \(spleen_like\)"):
            remove_bundle(name)
        assert list_bundles() == before
