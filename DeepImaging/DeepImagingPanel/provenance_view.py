"""Where a result comes from, to read and to copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from DeepImagingPanel.texts import asPlain

GIB = 1024**3


class ProvenanceView:
    """Shows a provenance, as plain values, in a QTreeWidget of two columns."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._provenance: Mapping[str, Any] = {}
        tree.header().setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)

    def show(self, provenance: Mapping[str, Any]) -> None:
        """Replace what is shown."""
        if provenance == self._provenance:
            return  # what the user opened stays open
        self._provenance = provenance
        self._tree.clear()
        labels = _labels()
        for key in dict.fromkeys([*labels, *provenance]):
            value = provenance.get(key, "")
            if value != "":
                _add(self._tree, labels.get(key, key), _readable(key, value))
        self._tree.expandAll()

    def copy(self) -> None:
        """Put all of it on the clipboard, as JSON."""
        qt.QApplication.clipboard().setText(json.dumps(self._provenance, indent=2, ensure_ascii=False))


def _labels() -> dict[str, str]:
    return {
        "bundle": _("Model"),
        "version": _("Version"),
        "sha256": _("SHA-256 of the model"),
        "input_sha256": _("SHA-256 of the inputs"),
        "options": _("Options"),
        "device": _("Device"),
        "plan": _("Plan"),
        "precision": _("Precision"),
        "memory_step": _("Memory"),
        "versions": _("Versions"),
        "seconds": _("Seconds"),
        "peak_memory": _("Peak memory"),
        "notes": _("Notes"),
    }


def _words() -> dict[str, dict[str, str]]:
    """Return what a user calls the values that the library knows by name."""
    return {
        "precision": {
            "full": _("full (32 bit)"),
            "bfloat16": _("half (16 bit, bfloat16)"),
            "float16": _("half (16 bit, float16)"),
        },
        "memory_step": {
            "as planned": _("enough, as planned"),
            "smaller batch": _("ran short; fewer windows at once from then on"),
            "half precision": _("ran short; half precision from then on"),
            "added up on the host": _("ran short; added up in main memory from then on"),
            "on the CPU": _("ran short; on the processor from then on"),
        },
    }


def _readable(key: str, value: Any) -> Any:
    if key in _words():
        return _words()[key].get(value, value)
    if key == "peak_memory":
        return f"{value / GIB:.2f} GiB"
    if key == "plan":
        return value.replace(", ", "\n")  # longer than the column is wide
    if key == "seconds":
        return {stage: f"{seconds:.2f}" for stage, seconds in value.items()}
    return value


def _add(parent: Any, label: str, value: Any) -> None:
    """Add a line, with lines below it where the value holds several."""
    item = qt.QTreeWidgetItem(parent)
    item.setText(0, label)
    item.setTextAlignment(0, qt.Qt.AlignLeft | qt.Qt.AlignTop)
    if isinstance(value, Mapping):
        for key, part in value.items():
            _add(item, str(key), part)
    elif isinstance(value, (list, tuple)) and value:
        for number, part in enumerate(value, 1):
            _add(item, str(number), part)
    else:
        item.setText(1, _("not given") if value in (None, "", [], ()) else str(value))
        item.setToolTip(1, asPlain(str(value)))
