"""Read what is on images: tables of labels, ChestX-ray14's table, boxes and lists of splits.

ChestX-ray14: Wang et al., CVPR 2017; https://nihcc.app.box.com/v/ChestXray-NIHCC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.tables import Row, rows

CHESTX_RAY14 = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""Its labels, in the order of CheXNet (Rajpurkar et al., 2017)."""

FILES, LABELS = ("file", "image"), "labels"
SUBJECT, SPLIT = "subject", "split"
_FILE_14, _LABELS_14, _SUBJECT_14, _NONE_14 = "Image Index", "Finding Labels", "Patient ID", "No Finding"
_BOX_14 = ("Bbox [x", "y", "w", "h]")
_SPELLED = {"Infiltrate": "Infiltration"}
"""As the list of boxes spells a label, to what the table of labels calls it."""


@dataclass(frozen=True)
class LabelTable:
    """What is on each image.

    Attributes:
        labels: All there are, in the table's order.
        on: File name to the labels that it has.
        subjects: File name to whose image it is; empty where the table doesn't tell.
        splits: File name to the part of the data that it belongs to, as the table calls it; empty where it doesn't.
    """

    labels: tuple[str, ...]
    on: Mapping[str, frozenset[str]]
    subjects: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)

    def truth(self, files: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return (files, labels) 1 where an image has a label, 0 where not.

        Raises:
            InputError: The table knows no such file or label.
        """
        for kind, asked, known in (("file", files, self.on), ("label", labels, self.labels)):
            if unknown := [name for name in asked if name not in known]:
                raise InputError(f"The table of labels has no {kind} {unknown[0]!r}; add it, or leave it out.")
        return np.array([[label in self.on[file] for label in labels] for file in files], np.int64)


def read_labels(path: Path) -> LabelTable:
    """Return a table of labels.

    Args:
        path: A CSV whose first column is `file` or `image` and whose others are labels with 0 and 1, or one column
            `labels`, names with | between them; if there are, `subject` and `split` beside these; or ChestX-ray14's
            `Data_Entry_2017.csv`.

    Raises:
        InputError: The file is none of these; names line and column.
    """
    table = list(rows(path))
    if not table:
        raise InputError(f"{path.name} names no image; give a table with a line for each.")
    columns = tuple(filter(None, table[0].values))
    if {_FILE_14, _LABELS_14} <= set(columns):
        return _chestx_ray14(table)
    marks = tuple(column for column in columns[1:] if column not in (SUBJECT, SPLIT))
    if columns[:1] not in {(name,) for name in FILES} or not marks:
        raise InputError(f"{path.name} is no table of labels; its first line is to be 'file,LABEL,…' or 'file,labels'.")
    by_file = _by_file(table, columns[0])
    subjects, splits = (_column(by_file, name) if name in columns else {} for name in (SUBJECT, SPLIT))
    if marks == (LABELS,):
        on = {file: _names(row, LABELS) for file, row in by_file.items()}
        return LabelTable(tuple(sorted(frozenset().union(*on.values()))), on, subjects, splits)
    return LabelTable(marks, {file: _marked(row, marks) for file, row in by_file.items()}, subjects, splits)


def _column(by_file: Mapping[str, Row], name: str) -> dict[str, str]:
    """Return what a column says of each file; files of which it says nothing are left out."""
    return {file: text for file, row in by_file.items() if (text := (row.values[name] or "").strip())}


def _chestx_ray14(table: Sequence[Row]) -> LabelTable:
    by_file = _by_file(table, _FILE_14)
    on = {file: _names(row, _LABELS_14) - {_NONE_14} for file, row in by_file.items()}
    for file, names in on.items():
        if not names <= set(CHESTX_RAY14):
            raise by_file[file].wrong(_LABELS_14, "names of ChestX-ray14's 14 labels with | between")
    known = _SUBJECT_14 in table[0].values
    return LabelTable(CHESTX_RAY14, on, {file: row.text(_SUBJECT_14) for file, row in by_file.items() if known})


def _by_file(table: Iterable[Row], column: str) -> dict[str, Row]:
    by_file: dict[str, Row] = {}
    for row in table:
        if by_file.setdefault(row.text(column), row) is not row:
            raise row.wrong(column, "each file once")
    return by_file


def _names(row: Row, column: str) -> frozenset[str]:
    """Return names with | between; an empty cell has none."""
    return frozenset(filter(None, (name.strip() for name in (row.values[column] or "").split("|"))))


def _marked(row: Row, labels: Sequence[str]) -> frozenset[str]:
    """Return the labels whose column holds 1."""
    for label in labels:
        if row.number(label) not in (0, 1):
            raise row.wrong(label, "0 or 1")
    return frozenset(label for label in labels if row.number(label))


@dataclass(frozen=True)
class PixelBox:
    """A rectangle that somebody drew around a finding.

    Attributes:
        label: What it holds.
        x, y: Corner nearest to the image's first pixel, in pixels along its rows and its columns.
        width, height: In pixels.
    """

    label: str
    x: float
    y: float
    width: float
    height: float

    def mask(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return (I, J) what lies in it, of an image whose I runs along x and whose J along y."""
        inside = np.zeros(shape, bool)
        (i, ii), (j, jj) = ((max(round(a), 0), round(a + n)) for a, n in ((self.x, self.width), (self.y, self.height)))
        inside[i:ii, j:jj] = True
        return inside


def read_boxes(path: Path) -> dict[str, list[PixelBox]]:
    """Return the boxes of ChestX-ray14's `BBox_List_2017.csv` by file, labels spelled as in the table of labels.

    Raises:
        InputError: The file is no such table; names line and column.
    """
    found: dict[str, list[PixelBox]] = {}
    for row in rows(path, (_FILE_14, "Finding Label", *_BOX_14)):
        label = row.text("Finding Label")
        box = PixelBox(_SPELLED.get(label, label), *(row.number(column) for column in _BOX_14))
        if min(box.width, box.height) <= 0:
            raise row.wrong(_BOX_14[2 if box.width <= 0 else 3], "a length above 0")
        found.setdefault(row.text(_FILE_14), []).append(box)
    return found


def read_list(path: Path) -> tuple[str, ...]:
    """Return the file names of a list with one on each line, such as ChestX-ray14's `test_list.txt`.

    Raises:
        InputError: It can't be read, names nothing, or a file twice.
    """
    try:
        names = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} can't be read as a list ({type(error).__name__}); give a text file.") from error
    names = [name.strip() for name in names if name.strip()]
    if not names or len(set(names)) < len(names):
        what = f"names {max(names, key=names.count)!r} twice" if names else "names no file"
        raise InputError(f"{path.name} {what}; give a list with one file on each line, each once.")
    return tuple(names)


def find_pictures(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return where the pictures of these names are, in folders of any depth.

    Raises:
        InputError: Some are nowhere, or there are several of one name.
    """
    files: dict[str, Path] = {}
    wanted = set(names)
    for path in folder.rglob("*"):
        if path.name in wanted and path.is_file():
            if path.name in files:
                raise InputError(
                    f"{path.name!r} is in several folders of {folder.name!r}; give each picture its own name."
                )
            files[path.name] = path
    if missing := [name for name in names if name not in files]:
        raise InputError(
            f"{len(missing)} of {len(names)} pictures that were asked for aren't in the folder {folder.name!r}, such "
            f"as {missing[0]!r}; put them there, or leave them out of the list."
        )
    return [files[name] for name in names]
