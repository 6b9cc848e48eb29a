"""The .ui files: a letter of the keyboard leads to one widget, and foreign texts are shown as texts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

MODULES = Path(__file__).resolve().parents[2] / "DeepImaging"
SHARED = sorted((MODULES / "DeepImagingPanel" / "UI").glob("*.ui"))
OWN = sorted(MODULES.glob("*/Resources/UI/*.ui"))
MAIN_MENU = set("FEVH")  # File, Edit, View, Help
RICH_BY_DESIGN = {"modelCard"}  # it escapes what it is given


def widgets(path: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield class, name and properties of each widget."""
    for widget in ElementTree.parse(path).iter("widget"):
        properties = {p.attrib["name"]: "".join(p.itertext()) for p in widget.findall("property")}
        yield widget.attrib["class"], widget.attrib["name"], properties


def letters(text: str) -> set[str]:
    return {letter.upper() for letter in re.findall(r"&(\w)", text)}


def lettersSetInCode() -> dict[str, set[str]]:
    """Return widget name → letters of the texts that the code gives it (`ui.<name>.text = …`)."""
    found: dict[str, set[str]] = {}
    for path in MODULES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(target, ast.Attribute) and target.attr == "text" and isinstance(target.value, ast.Attribute):
                texts = [c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant)]
                found.setdefault(target.value.attr, set()).update(*(letters(t) for t in texts if isinstance(t, str)))
    return found


@pytest.mark.parametrize("own", OWN, ids=lambda path: path.stem)
def test_no_letter_leads_to_two_widgets_or_to_slicers_menus(own: Path) -> None:
    inCode = lettersSetInCode()
    assert inCode["applyButton"] == {"A", "C"}
    isWhole = any(name == "introLabel" for _kind, name, _properties in widgets(own))  # a panel without the shared one
    found = {
        name: letters(properties.get("text", "")) | inCode.get(name, set())
        for path in ((own,) if isWhole else (*SHARED, own))
        for _kind, name, properties in widgets(path)
    }
    assert not {name: used & MAIN_MENU for name, used in found.items() if used & MAIN_MENU}
    twice = [(one, other) for one, other in combinations(found, 2) if found[one] & found[other]]
    assert not twice


@pytest.mark.parametrize("path", [*SHARED, *OWN], ids=lambda path: path.stem)
def test_labels_whose_text_comes_later_show_it_as_it_is_written(path: Path) -> None:
    filled = [
        (name, properties)
        for kind, name, properties in widgets(path)
        if kind == "QLabel" and ("text" not in properties or name == "inputLabel") and "Icon" not in name
    ]
    assert {name for name, p in filled if p.get("textFormat") != "Qt::PlainText"} <= RICH_BY_DESIGN
