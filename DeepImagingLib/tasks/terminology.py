"""What a structure's name means: its codes (SNOMED CT, as DICOM segmentations use them) and its colour."""

from __future__ import annotations

import colorsys
import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from DeepImagingLib.results import Code, Terminology

TABLE = Path(__file__).with_name("terminology.csv")
CATEGORIES = {
    "A": Code("SCT", "123037004", "Anatomical Structure"),
    "T": Code("SCT", "85756007", "Tissue"),
    "M": Code("SCT", "49755003", "Morphologically Altered Structure"),
}
SIDES = {"left": Code("SCT", "7771000", "Left"), "right": Code("SCT", "24028007", "Right")}
FILLERS = {"of", "the", "and"}
GOLDEN_RATIO = 0.618034
LEFT_SHADE = 0.8  # the left organ of a pair is drawn a shade darker, so that the sides can be told apart

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Entry:
    """One row of the table; colour as red, green, blue in 0..1."""

    terminology: Terminology
    color: Color


def look_up(name: str, index: int = 0) -> tuple[Terminology | None, Color]:
    """Return codes and colour of a structure by the name a bundle gives it.

    Word order, underscores and case don't matter: "kidney_right", "Right Kidney" and "kidney, right" are one.

    Args:
        name: The bundle's name.
        index: Chooses the colour of a name the table doesn't have, different from its neighbours'.

    Returns:
        The codes, None where the name is unknown, and red, green, blue in 0..1.
    """
    words = _words(name)
    entry = _table().get(words)
    if entry is not None:
        return entry.terminology, entry.color
    side = next((s for s in SIDES if s in words), None)
    entry = _table().get(words.difference(SIDES))
    if entry is None or side is None:
        return (None, spread_color(index)) if entry is None else (entry.terminology, entry.color)
    shade = LEFT_SHADE if side == "left" else 1.0
    red, green, blue = (shade * c for c in entry.color)
    return Terminology(entry.terminology.category, entry.terminology.type, SIDES[side]), (red, green, blue)


def entries() -> list[Entry]:
    """Return every row of the table once, whatever names it has."""
    return list(dict.fromkeys(_table().values()))


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+\d*|\d+", name.lower())) - FILLERS


@cache
def _table() -> dict[frozenset[str], Entry]:
    lines = (line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    table: dict[frozenset[str], Entry] = {}
    for row in csv.DictReader(lines):
        color = tuple(int(row[c]) / 255 for c in ("red", "green", "blue"))
        codes = Terminology(CATEGORIES[row["category"]], Code("SCT", row["code"], row["meaning"]))
        for alias in row["names"].split("|"):
            table[_words(alias)] = Entry(codes, (color[0], color[1], color[2]))
    return table


def spread_color(index: int) -> Color:
    """Return the index-th of a sequence of colours whose hues lie as far apart as can be."""
    return colorsys.hsv_to_rgb((index * GOLDEN_RATIO) % 1.0, 0.55, 0.9)
