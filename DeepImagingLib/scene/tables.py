"""Columns as VTK keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def as_table(columns: Mapping[str, Sequence[Any]]) -> Any:
    """Return a vtkTable with a column each: whole numbers, numbers, or texts, by its first value."""
    import vtk

    made = vtk.vtkTable()
    for name, values in columns.items():
        column = _array(values)
        column.SetName(name)
        for value in values:
            column.InsertNextValue(value)
        made.AddColumn(column)
    return made


def _array(values: Sequence[Any]) -> Any:
    import vtk

    kinds = {int: vtk.vtkIntArray, float: vtk.vtkDoubleArray}
    return kinds[type(values[0])]() if values and type(values[0]) in kinds else vtk.vtkStringArray()
