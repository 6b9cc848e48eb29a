"""The models: a list, what is told of the chosen one, and the ways to add, remove and trust one."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DeepImagingLib.bundles.add import remove_bundle
from DeepImagingLib.bundles.card import Card, Entry, Standing, card, entries
from DeepImagingLib.bundles.fingerprint import content_files
from DeepImagingLib.errors import BundleError, CancelledError, DeepImagingError
from DeepImagingLib.hosts import Handle
from DeepImagingLib.hosts.errands import AddModel, Fingerprint
from DeepImagingPanel import runner
from DeepImagingPanel.parameters import setTrusted, trusted
from DeepImagingPanel.texts import asPlain

SHOWN = 3
Stamp = frozenset[tuple[str, int, int]]
_digests: dict[Stamp, str | DeepImagingError] = {}
"""What reading models gave, by the names, sizes and times of their files: to be shown, since each run reads anew."""


class ModelSection:
    """Shows the models for a task.

    Attributes:
        card: Of the chosen model, None without one.
    """

    def __init__(self, ui: Any, task: str, chosen: Callable[[str], None]) -> None:
        self.card: Card | None = None
        self._ui = ui
        self._task = task
        self._chosen = chosen
        self._entries: list[Entry] = []
        self._reading: set[Path] = set()
        self._sound: dict[str, bool] = {}
        ui.modelSelector.connect("activated(int)", lambda index: self._chosen(self._entries[index].name))
        ui.trustButton.connect("clicked()", self._trust)
        ui.modelCardButton.connect("toggled(bool)", self._unfold)
        self._unfold(False)
        menu = qt.QMenu(ui.modelMenuButton)
        menu.addAction(_("Add from a &folder…")).connect("triggered()", self._addFolder)
        menu.addAction(_("Add from a &zip archive…")).connect("triggered()", self._addArchive)
        self._removeAction = menu.addAction(_("&Remove this model"))
        self._removeAction.connect("triggered()", self._remove)
        ui.modelMenuButton.setMenu(menu)
        self._say("")
        self.reload()

    def reload(self) -> None:
        """Look again at which models there are."""
        self._entries = entries(self._task)
        self._sound.clear()
        titles = [entry.title for entry in self._entries]
        self._ui.modelSelector.clear()
        for entry in self._entries:
            twice = titles.count(entry.title) > 1
            self._ui.modelSelector.addItem(f"{entry.title} ({entry.name})" if twice else entry.title)
        self._ui.modelSelector.enabled = bool(self._entries)

    def names(self) -> list[str]:
        """Return the names of the models in the list."""
        return [entry.name for entry in self._entries]

    def isSound(self, name: str) -> bool:
        """Tell whether a model is in the list and whole."""
        if name not in self._sound:
            found = next((entry for entry in self._entries if entry.name == name), None)
            standing = card(found, trusted(), _digest).standing if found else Standing.BROKEN
            self._sound[name] = standing is not Standing.BROKEN
        return self._sound[name]

    def select(self, name: str) -> None:
        """Show a model; none where there is none of that name."""
        found = next((entry for entry in self._entries if entry.name == name), None)
        self._ui.modelSelector.currentIndex = self._entries.index(found) if found else -1
        self.card = card(found, trusted(), _digest) if found else None
        self._show()
        if self.card is not None and self.card.standing is Standing.UNTRUSTED and not self.card.sha256:
            self._read(self.card.path)

    def title(self) -> str:
        """Return the chosen model's title."""
        return self.card.title if self.card else ""

    def reason(self) -> str:
        """Return why the chosen model can't run, "" where it can."""
        if self.card is None:
            return _("Choose a model.") if self._entries else _("There is no model yet; add one with Manage.")
        if self.card.standing is Standing.BROKEN:
            return _("This model can't be used: {reason}").format(reason=self.card.reason)
        if self.card.standing is Standing.UNTRUSTED and not self.card.sha256:
            return _("This model is being read …")
        if self.card.standing is Standing.UNTRUSTED:
            return _("This model needs your trust before it may run; see above.")
        return ""

    def _show(self) -> None:
        found, ui = self.card, self._ui
        ui.modelSummary.text = summary(found) if found else ""
        ui.modelSummary.visible = ui.modelCardButton.visible = found is not None
        ui.modelCard.text = description(found) if found else ""
        self._unfold(ui.modelCardButton.checked)
        needsTrust = found is not None and found.standing in (Standing.TRUSTED, Standing.UNTRUSTED)
        ui.trustLabel.visible = ui.trustButton.visible = needsTrust
        if needsTrust:
            ui.trustButton.enabled = bool(found.sha256)
            ui.trustLabel.text = warning(found)
            isTrusted = found.standing is Standing.TRUSTED
            ui.trustButton.text = _("No longer trust this model") if isTrusted else _("&Yes, trust this model")
        self._removeAction.enabled = found is not None and found.own

    def _unfold(self, unfolded: bool) -> None:
        self._ui.modelCardButton.arrowType = qt.Qt.DownArrow if unfolded else qt.Qt.RightArrow
        self._ui.modelCard.visible = unfolded and self.card is not None

    def _trust(self) -> None:
        setTrusted(self.card.sha256, self.card.standing is Standing.UNTRUSTED)
        self._chosen(self.card.name)

    def _read(self, path: Path) -> None:
        """Have the worker read a model, of which some are gigabytes; shows it anew then."""
        if path in self._reading:
            return
        try:
            stamp = _stamp(path)
        except DeepImagingError:
            return  # it changed since its card was made, which says so when it is shown again
        self._reading.add(path)
        runner.current().do(Fingerprint(path), lambda handle: self._wasRead(path, stamp, handle))

    def _wasRead(self, path: Path, stamp: Stamp, handle: Handle) -> None:
        if not handle.done:
            return
        self._reading.discard(path)
        if isinstance(handle.error, CancelledError):  # the worker is ended, with Slicer or for a reload
            return
        _digests[stamp] = handle.error or handle.result()
        if self.card is not None and self.card.path == path:
            self.select(self.card.name)

    def _addFolder(self) -> None:
        self._add(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a MONAI bundle")))

    def _addArchive(self) -> None:
        title, kinds = _("Zip archive of a MONAI bundle"), _("Zip archives (*.zip)")
        self._add(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", kinds))

    def _add(self, path: str) -> None:
        if path:
            self._say(_("Adding {name} …").format(name=Path(path).name))
            runner.current().do(AddModel(Path(path)), self._added)

    def _added(self, handle: Handle) -> None:
        if not handle.done:
            return
        self._say(str(handle.error or ""))
        if handle.error is None:
            self.reload()
            self._chosen(handle.result().name)

    def _remove(self) -> None:
        question = _("Delete the model {title} from this computer?").format(title=self.card.title)
        if not slicer.util.confirmOkCancelDisplay(asPlain(question)):
            return
        try:
            remove_bundle(self.card.name)
            self._say("")
        except DeepImagingError as error:
            self._say(str(error))
        self.reload()
        self._chosen(next(iter(self.names()), ""))

    def _say(self, text: str) -> None:
        self._ui.modelMessage.text = text
        self._ui.modelMessage.visible = bool(text)


def _stamp(path: Path) -> Stamp:
    """Return what differs as soon as a model's content does, unless someone takes pains; raises BundleError."""
    try:
        found = [(str(file), file.stat()) for file in content_files(path)]
    except OSError as error:
        raise BundleError(f"The model {path.name} can't be read ({error.strerror}).") from error
    return frozenset((name, told.st_size, told.st_mtime_ns) for name, told in found)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a model as it was read, "" where it has not been; raises BundleError where that failed."""
    stamp = _stamp(path)
    found = _digests.get(stamp, "")
    if isinstance(found, DeepImagingError):
        del _digests[stamp]  # whoever chooses the model again has it read again
        raise BundleError(str(found))
    return found


def summary(model: Card) -> str:
    """Return in one sentence what a model finds and where, and what it is not for."""
    what = ", ".join(model.finds[:SHOWN])
    more = len(model.finds) - SHOWN
    if more > 0:
        what = _("{names} and {count} more").format(names=what, count=more)
    where = model.modality or _("images")
    text = _("Finds {what} in {where}.").format(what=what, where=where) if what else ""
    return f"{text} {_('Not for clinical use.')}".strip()


def description(model: Card) -> str:
    """Return all that is told of a model, as rich text."""
    facts = model.facts
    takes = ", ".join(model.channels) if len(model.channels) > 1 else model.modality
    kind = _("volume") if model.takes_volume else _("single picture")
    rows = {
        _("Finds"): ", ".join((*model.finds, *model.groups)),
        _("Takes"): f"{takes} ({kind})" if takes else kind,
        _("Works at"): " × ".join(f"{s:g}" for s in model.spacing) + " mm" if model.spacing else "",
        _("How it was made"): facts.get("description", ""),
        _("Trained on"): facts.get("data_source", ""),
        _("Intended use"): facts.get("intended_use", ""),
        _("Licence"): facts.get("license", ""),
        _("Authors"): facts.get("authors", ""),
    }
    text = "".join(_paragraph(name, value) for name, value in rows.items() if value)
    return (
        text
        + "".join(_paragraph(name, values) for name, values in _measures(model))
        + _paragraph(_("Not for clinical use"), _("Check every result; nobody has approved this model for patients."))
    )


def _measures(model: Card) -> list[tuple[str, str]]:
    """Return what was measured, those of one kind together."""
    parts = [(*name.rpartition(": ")[::2], value) for name, value in model.measured.items()]
    return [
        (
            _("Measured ({what})").format(what=kind) if kind else _("Measured"),
            ", ".join(f"{name} {value:g}" for _kind, name, value in values),
        )
        for kind, values in groupby(parts, key=lambda part: part[0])
    ]


def _paragraph(name: str, text: str) -> str:
    return f"<p><b>{escape(name)}:</b> {escape(text)}</p>"


def warning(model: Card) -> str:
    """Return what trusting means, and the content that is trusted."""
    spaced = " ".join(model.sha256[start : start + 16] for start in range(0, len(model.sha256), 16))
    if model.standing is Standing.TRUSTED:
        return _("You trust this model to run code of its own (SHA-256 {sha256}).").format(sha256=spaced)
    asked = _(
        "This model asks to run code of its own, which could do anything that you can do on this computer: {reason}. "
        "Trust it only if you know where it comes from."
    ).format(reason=model.reason)
    content = _("What you would trust has the SHA-256 {sha256}.").format(sha256=spaced)
    return f"{asked} {content if model.sha256 else _('Reading what you would trust …')}"
