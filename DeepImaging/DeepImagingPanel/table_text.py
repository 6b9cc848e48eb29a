"""Tables of the scene as text."""

from __future__ import annotations

from typing import Any


def asText(table: Any) -> str:
    """Return a vtkTable with its heads as lines with tabs, as spreadsheets take it."""
    rows = [[table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]]
    for row in range(table.GetNumberOfRows()):
        rows.append([table.GetValue(row, column).ToString() for column in range(table.GetNumberOfColumns())])
    return "".join("\t".join(row) + "\n" for row in rows)
