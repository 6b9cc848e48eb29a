"""Read the rows of CSV tables, naming file, line and column where something is wrong in one."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from DeepImagingLib.errors import InputError


@dataclass(frozen=True)
class Row:
    """One line of a table, told apart by its number where something is wrong in it.

    Attributes:
        file: Name of the table.
        line: Its number in the file, from 1.
        values: Column to text; None where the line is too short.
    """

    file: str
    line: int
    values: Mapping[str, str | None]

    def text(self, column: str) -> str:
        """Return the words of a column that must not be empty.

        Raises:
            InputError: It is.
        """
        if text := (self.values[column] or "").strip():
            return text
        raise self.wrong(column, "a name")

    def number(self, column: str) -> float:
        """Return the number in a column; InputError where there is none."""
        return self.numbers(column, 1)[0]

    def numbers(self, column: str, count: int) -> list[float]:
        """Return the numbers, with commas between, of a column; InputError where there aren't as many."""
        try:
            found = [float(part) for part in (self.values[column] or "").split(",")]
        except ValueError:
            found = []
        if len(found) != count or not np.all(np.isfinite(found)):
            raise self.wrong(column, "a number" if count == 1 else f"{count} numbers")
        return found

    def wrong(self, column: str, expected: str) -> InputError:
        """Return what a user reads where a column holds something else."""
        text = self.values[column] or ""
        return InputError(f"{self.file}, line {self.line}: {column} is {text!r}, expected {expected}; mend the table.")


def rows(path: Path, columns: tuple[str, ...] = ()) -> Iterator[Row]:
    """Yield the rows of a table that has these columns.

    Raises:
        InputError: It has not, or is no table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path.name} has no column {missing[0]!r}; give a table with {', '.join(columns)}.")
            for values in reader:
                if any(values.pop(None, ())):
                    raise InputError(
                        f"{path.name}, line {reader.line_num} has more cells than the first; mend the table."
                    )
                yield Row(path.name, reader.line_num, values)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} can't be read as a table ({type(error).__name__}); give a CSV file.") from error
