"""The course of a training as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from DeepImagingLib.training.checkpoint import write_whole
from DeepImagingLib.training.validate import MEAN

Row = Mapping[str, float]
"""What was known at a step: "step", "minutes", "learning rate", "loss", and "SET: LABEL" where it was validated."""


def write_curve(folder: Path, rows: Sequence[Row]) -> None:
    """Write curve.csv, whole or not at all."""
    text = io.StringIO()
    table = csv.DictWriter(text, _names(rows), restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    write_whole(folder / "curve.csv", lambda file: file.write(text.getvalue().encode()))


def draw_curve(folder: Path, rows: Sequence[Row], metric: str = "dice") -> None:
    """Draw curve.png, whole or not at all; `metric` is what validation measures."""
    write_whole(folder / "curve.png", lambda file: file.write(_drawn(rows, metric)))


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _drawn(rows: Sequence[Row], metric: str) -> bytes:
    """Draw the loss above, what was measured of each set below: its mean thick, its labels thin."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(*_points(rows, "loss"), color="black")
    above.set(ylabel="loss")
    scores = [name for name in _names(rows) if ": " in name]
    sets = list(dict.fromkeys(name.partition(": ")[0] for name in scores))
    for name in scores:
        group, _, label = name.partition(": ")
        thick = label == MEAN
        style = {"label": group, "linewidth": 2.5} if thick else {"alpha": 0.3, "linewidth": 0.8}
        below.plot(*_points(rows, name), color=f"C{sets.index(group)}", **style)
    below.set(xlabel="step", ylabel=metric.capitalize(), ylim=(0, 1))
    if sets:
        below.legend(loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()


def _points(rows: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
    known = [row for row in rows if name in row]
    return [row["step"] for row in known], [row[name] for row in known]
