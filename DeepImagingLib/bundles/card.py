"""What a person wants to know of a model before running it; read from its files, with nothing of it evaluated."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from DeepImagingLib.bundles import metadata as told
from DeepImagingLib.bundles.bundle import CONFIG_NAMES, PRED_KEY, load_bundle
from DeepImagingLib.bundles.closure import close
from DeepImagingLib.bundles.detector import detector_key
from DeepImagingLib.bundles.find import METADATA, list_bundles, user_model_folder
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.bundles.reader import Reader
from DeepImagingLib.bundles.references import Refusal
from DeepImagingLib.bundles.repairs import step_of
from DeepImagingLib.bundles.source import Source, read_source
from DeepImagingLib.errors import BundleError, TrustError

UNKNOWN = "unknown"
SILENT = "segmentation"
"""What models are taken for whose metadata tell no task, as most are for it."""
_BACKGROUND = "background"


class Standing(Enum):
    """Whether a model may run."""

    READY = "ready"
    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"
    BROKEN = "broken"


@dataclass(frozen=True)
class Entry:
    """A model in a list.

    Attributes:
        path: Its folder.
        name: Its folder's name, by which it is found.
        title: As its metadata calls it.
        task: As `Bundle.task`.
    """

    path: Path
    name: str
    title: str
    task: str

    @property
    def own(self) -> bool:
        """Whether the user added it."""
        return self.path.parent == user_model_folder()


@dataclass(frozen=True)
class Card(Entry):
    """All that is told of a model.

    Attributes:
        standing: Whether it may run; `reason` says why it may not.
        sha256: Of its content, where that has to be trusted; empty while it isn't known.
        finds: Names of the labels it finds, without the background; those that come switched off are the last.
        groups: Names of the groups of these that it gives as well.
        channels: Names of the images it takes.
        modality: Of the first, such as "CT"; empty where the metadata is silent.
        takes_volume: True where it works on volumes.
        spacing: Millimetres at which it works, where the config tells.
        measured: What was measured on what, name to number.
        facts: Further texts of the metadata (description, data_source, intended_use, authors, copyright, license).
    """

    standing: Standing = Standing.READY
    reason: str = ""
    sha256: str = ""
    finds: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("image",)
    modality: str = ""
    takes_volume: bool = True
    spacing: tuple[float, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def may_run(self) -> bool:
        """Whether it may run."""
        return self.standing in (Standing.READY, Standing.TRUSTED)

    @property
    def trust(self) -> str | None:
        """What `load_bundle` has to be given."""
        return self.sha256 if self.standing is Standing.TRUSTED else None


FACTS = ("description", "data_source", "intended_use", "authors", "copyright")


def entries(task: str = "") -> list[Entry]:
    """Return the models found by name for a task, all where it is empty; those that tell none are for segmentation."""
    listed = []
    for path in list_bundles():
        try:
            metadata = read_source(path / METADATA, path).config
        except BundleError:
            metadata = {}  # its card says what is wrong
        entry = Entry(path, path.name, told.printable(metadata.get("name") or path.name), _task(path, metadata))
        if task in ("", entry.task) or (task == SILENT and entry.task == UNKNOWN):
            listed.append(entry)
    return listed


def _task(path: Path, metadata: Mapping[str, Any]) -> str:
    """Return a model's task; what it is built of tells it where the metadata don't."""
    found = told.task(metadata)
    try:
        return "detection" if found == UNKNOWN and detector_key(_source(path).config) else found
    except (BundleError, Refusal, StopIteration):
        return found


def _source(root: Path) -> Source:
    return next(read_source(root / "configs" / n, root) for n in CONFIG_NAMES if (root / "configs" / n).is_file())


def card(entry: Entry, trusted: Container[str] = (), digest: Callable[[Path], str] = fingerprint) -> Card:
    """Return all that a model's files tell.

    Nothing of it is evaluated, be it trusted or not. Where it needs trust, `fingerprint` reads all of it: a window
    gives a `digest` that doesn't take long.

    Args:
        entry: Of `entries`.
        trusted: SHA-256 of what the user trusts.
        digest: Returns what `fingerprint` does, or "" while that isn't known.
    """
    plain: dict[str, Any] = {"path": entry.path, "name": entry.name, "title": entry.title, "task": entry.task}
    try:
        bundle = load_bundle(entry.path, hint=False)
        content = _told(bundle.path, bundle.metadata, bundle.config)
        content |= {"channels": bundle.channels, "takes_volume": bundle.takes_volume, "groups": tuple(bundle.groups)}
        return Card(**plain, **content)
    except TrustError as error:
        return _refused(plain, str(error), trusted, digest)
    except BundleError as error:
        return Card(**plain, standing=Standing.BROKEN, reason=str(error))


def _refused(plain: dict[str, Any], reason: str, trusted: Container[str], digest: Callable[[Path], str]) -> Card:
    """Return the card of a model that needs trust, as far as its metadata tells."""
    root = plain["path"]
    try:
        sha256 = digest(root)
        metadata = read_source(root / METADATA, root).config
        source = _source(root)
        content = _told(root, metadata, close(source.config, lenient=True).config)
    except (BundleError, Refusal) as error:
        return Card(**plain, standing=Standing.BROKEN, reason=str(error))
    standing = Standing.TRUSTED if sha256 and sha256 in trusted else Standing.UNTRUSTED
    return Card(**plain, **content, standing=standing, reason=reason.split("; nothing was run")[0], sha256=sha256)


def _told(root: Path, metadata: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    reader = Reader(config, str(root))
    away = metadata.get("hidden")
    away = away if isinstance(away, list) else []
    unfound = (_BACKGROUND, told.likeness_label(metadata).lower())
    names = [name for name in told.labels(metadata, PRED_KEY).values() if name.lower() not in unfound]
    licence = root / "LICENSE"
    facts = {name: _text(metadata.get(name)) for name in FACTS}
    facts["license"] = _text(metadata.get("license")) or (_first_line(licence) if licence.is_file() else "")
    return {
        "finds": tuple(sorted(names, key=lambda name: name in away)),
        "channels": told.channels(metadata, reader.image_keys(metadata)),
        "modality": told.printable(told.first_input(metadata).get("modality", "")),
        "takes_volume": (reader.spatial_dims() or told.shape_length(metadata) or 3) == 3
        or reader.works_slice_by_slice(),
        "spacing": _spacing(reader),
        "measured": _numbers(metadata.get("eval_metrics")),
        "facts": {name: text for name, text in facts.items() if text},
    }


def _spacing(reader: Reader) -> tuple[float, ...]:
    for ident, step in reader.steps("preprocessing"):
        if step_of(step) == "Spacing":
            found = reader.plain(step.get("pixdim"), f"{ident}::pixdim")
            if isinstance(found, (list, tuple)) and all(isinstance(x, (int, float)) for x in found):
                return tuple(float(x) for x in found)
    return ()


def _numbers(value: object, prefix: str = "") -> dict[str, float]:
    """Return the numbers of a mapping, and of mappings in it."""
    found: dict[str, float] = {}
    for key, item in value.items() if isinstance(value, Mapping) else ():
        name = f"{prefix}{told.printable(key)}"
        found |= {name: float(item)} if isinstance(item, (int, float)) else _numbers(item, f"{name}: ")
    return found


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(told.printable(item) for item in value)
    return told.printable(value) if value else ""


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = (told.printable(line) for line in file.read(1 << 12).splitlines())
        return next((line for line in lines if line), "")
