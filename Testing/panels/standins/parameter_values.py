"""How values are kept in a parameter node: under the names and in the words that Slicer's own wrapper uses."""

from __future__ import annotations

import abc
import enum
import types
import typing
from collections.abc import Iterator, MutableMapping, MutableSequence
from pathlib import PurePath
from typing import Any

import slicer

from Testing.panels.standins.parameter_checks import Validator, split


class Kind(abc.ABC):
    """One type of value: its words in the node, its check, its default."""

    @abc.abstractmethod
    def default(self) -> Any:
        """Return the value where none is given."""

    @abc.abstractmethod
    def check(self, value: Any) -> None:
        """Raise TypeError or ValueError for a value that isn't one."""

    @abc.abstractmethod
    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep a value that was checked."""

    @abc.abstractmethod
    def read(self, node: Any, name: str) -> Any:
        """Return the value."""

    def has(self, node: Any, name: str) -> bool:
        """Tell whether a value is kept."""
        return bool(node.HasParameter(name))

    def remove(self, node: Any, name: str) -> None:
        """Forget the value."""
        node.UnsetParameter(name)


class Text(Kind):
    """Strings, numbers, truth values and paths: one text each."""

    def __init__(self, type_: type) -> None:
        self._type = type_

    def default(self) -> Any:
        """Return "", 0, False or an empty path."""
        return self._type()

    def check(self, value: Any) -> None:
        """Refuse other types; an int is a float too."""
        if not isinstance(value, (int, float) if self._type is float else self._type):
            raise TypeError(f"{value!r} is no {self._type.__name__}")

    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep it as text."""
        node.SetParameter(name, str(value))

    def read(self, node: Any, name: str) -> Any:
        """Return it from its text."""
        text = node.GetParameter(name)
        return text == "True" if self._type is bool else self._type(text)


class Name(Text):
    """Members of an enum, by name."""

    def default(self) -> Any:
        """Return the first."""
        return next(iter(self._type))  # type: ignore[call-overload]

    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep the name."""
        node.SetParameter(name, value.name)

    def read(self, node: Any, name: str) -> Any:
        """Return the member."""
        return self._type[node.GetParameter(name)]  # type: ignore[index]


class Nothing(Kind):
    """None, as one side of `X | None`."""

    def default(self) -> None:
        """Return None."""

    def check(self, value: Any) -> None:
        """Refuse anything else."""
        if value is not None:
            raise TypeError(f"{value!r} is not None")

    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep that there is nothing."""
        node.SetParameter(name, "True")

    def read(self, node: Any, name: str) -> None:
        """Return None."""


class Node(Kind):
    """A node of the scene, as a node reference; an empty parameter beside it says that it was set."""

    def __init__(self, type_: type) -> None:
        self._type = type_

    def default(self) -> None:
        """Return None."""

    def check(self, value: Any) -> None:
        """Refuse nodes of other classes."""
        if value is not None and not isinstance(value, self._type):
            raise TypeError(f"{value!r} is no {self._type.__name__}")

    def write(self, node: Any, name: str, value: Any) -> None:
        """Refer to it."""
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        """Return it from the scene."""
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        """Forget it."""
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class Either(Kind):
    """One of several types: the value is kept under the place of its type."""

    def __init__(self, kinds: list[Kind]) -> None:
        self._kinds = kinds

    def _places(self, name: str) -> Iterator[tuple[str, Kind]]:
        return ((f"{name}.{index}", kind) for index, kind in enumerate(self._kinds))

    def default(self) -> Any:
        """Return None for `X | None`, else the first type's default."""
        return None if len(self._kinds) == 2 and isinstance(self._kinds[1], Nothing) else self._kinds[0].default()

    def _of(self, value: Any) -> int:
        order = sorted(range(len(self._kinds)), key=lambda index: not isinstance(self._kinds[index], Nothing))
        errors = []
        for index in order:
            try:
                self._kinds[index].check(value)
                return index
            except (TypeError, ValueError) as error:
                errors.append(error)
        raise next((e for e in errors if isinstance(e, ValueError)), errors[-1])

    def check(self, value: Any) -> None:
        """Refuse what none of the types takes."""
        self._of(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep it under the first type that takes it."""
        self.remove(node, name)
        index = self._of(value)
        self._kinds[index].write(node, f"{name}.{index}", value)

    def has(self, node: Any, name: str) -> bool:
        """Tell whether any type's value is kept."""
        return any(kind.has(node, place) for place, kind in self._places(name))

    def read(self, node: Any, name: str) -> Any:
        """Return the value that is kept."""
        return next(kind.read(node, place) for place, kind in self._places(name) if kind.has(node, place))

    def remove(self, node: Any, name: str) -> None:
        """Forget it."""
        for place, kind in self._places(name):
            kind.remove(node, place)


class Tuple(Kind):
    """A fixed number of values."""

    def __init__(self, kinds: list[Kind]) -> None:
        self._kinds = kinds

    def default(self) -> Any:
        """Return the defaults."""
        return tuple(kind.default() for kind in self._kinds)

    def check(self, value: Any) -> None:
        """Refuse other lengths and types."""
        if len(value) != len(self._kinds):
            raise ValueError(f"{value!r} has not {len(self._kinds)} values")
        for one, kind in zip(value, self._kinds):
            kind.check(one)

    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep each under its place."""
        for index, kind in enumerate(self._kinds):
            kind.write(node, f"{name}.{index}", value[index])

    def has(self, node: Any, name: str) -> bool:
        """Tell whether the first is kept."""
        return self._kinds[0].has(node, f"{name}.0")

    def read(self, node: Any, name: str) -> Any:
        """Return them."""
        return tuple(kind.read(node, f"{name}.{index}") for index, kind in enumerate(self._kinds))

    def remove(self, node: Any, name: str) -> None:
        """Forget them."""
        for index, kind in enumerate(self._kinds):
            kind.remove(node, f"{name}.{index}")


class List(Kind):
    """Any number of values of one type; the list that is read writes itself back when it changes."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def default(self) -> Any:
        """Return an empty list."""
        return []

    def check(self, value: Any) -> None:
        """Refuse values of other types."""
        for one in value:
            self._kind.check(one)

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}.len")) if self.has(node, name) else 0

    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep the length and each value."""
        for index in range(len(value), self._length(node, name)):
            self._kind.remove(node, f"{name}.{index}")
        for index, one in enumerate(value):
            self._kind.write(node, f"{name}.{index}", one)
        node.SetParameter(f"{name}.len", str(len(value)))

    def has(self, node: Any, name: str) -> bool:
        """Tell whether there is a length."""
        return bool(node.HasParameter(f"{name}.len"))

    def read(self, node: Any, name: str) -> Any:
        """Return a list that writes itself back."""
        return KeptList(self, node, name, self.values(node, name))

    def values(self, node: Any, name: str) -> list[Any]:
        """Return a plain list."""
        return [self._kind.read(node, f"{name}.{index}") for index in range(self._length(node, name))]

    def remove(self, node: Any, name: str) -> None:
        """Forget it."""
        for index in range(self._length(node, name)):
            self._kind.remove(node, f"{name}.{index}")
        node.UnsetParameter(f"{name}.len")


class Dict(List):
    """A mapping, kept as a list of pairs."""

    def __init__(self, key: Kind, value: Kind) -> None:
        super().__init__(Tuple([key, value]))

    def default(self) -> Any:
        """Return an empty mapping."""
        return {}

    def check(self, value: Any) -> None:
        """Refuse keys and values of other types."""
        super().check(value.items())

    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep the pairs."""
        super().write(node, name, list(value.items()))

    def read(self, node: Any, name: str) -> Any:
        """Return a mapping that writes itself back."""
        return KeptDict(self, node, name, dict(self.values(node, name)))


class Checked(Kind):
    """A kind with validators."""

    def __init__(self, kind: Kind, validators: list[Validator]) -> None:
        self._kind, self._validators = kind, validators

    def check(self, value: Any) -> None:
        """Refuse what the kind or a validator refuses."""
        self._kind.check(value)
        for validator in self._validators:
            validator.validate(value)

    def default(self) -> Any:
        """Return the kind's default."""
        return self._kind.default()

    def write(self, node: Any, name: str, value: Any) -> None:
        """Keep it as the kind does."""
        self._kind.write(node, name, value)

    def read(self, node: Any, name: str) -> Any:
        """Return it."""
        return self._kind.read(node, name)

    def has(self, node: Any, name: str) -> bool:
        """Tell whether it is kept."""
        return self._kind.has(node, name)

    def remove(self, node: Any, name: str) -> None:
        """Forget it."""
        self._kind.remove(node, name)


class _Kept:
    """What the lists and mappings that write themselves back have in common."""

    def __init__(self, kind: Kind, node: Any, name: str, values: Any) -> None:
        self._kept = kind, node, name
        self._values = values

    def _write(self) -> None:
        kind, node, name = self._kept
        kind.check(self._values)
        with slicer.util.NodeModify(node):
            kind.write(node, name, self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[key] = value
        self._write()

    def __delitem__(self, key: Any) -> None:
        del self._values[key]
        self._write()

    def __eq__(self, other: object) -> bool:
        return bool(self._values == (other._values if isinstance(other, _Kept) else other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._values)


class KeptList(_Kept, MutableSequence):  # type: ignore[type-arg]
    """A list that writes itself back."""

    def insert(self, index: int, value: Any) -> None:
        """Insert a value."""
        self._values.insert(index, value)
        self._write()


class KeptDict(_Kept, MutableMapping):  # type: ignore[type-arg]
    """A mapping that writes itself back."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


def kindOf(datatype: Any) -> Kind:
    """Return how a type is kept.

    Raises:
        TypeError: The stand-in doesn't know it.
    """
    plain, annotations = split(datatype)
    validators = [one for one in annotations if isinstance(one, Validator)]
    return Checked(_plainKind(plain), validators) if validators else _plainKind(plain)


def _plainKind(type_: Any) -> Kind:
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin in (typing.Union, types.UnionType):
        return Either([kindOf(one) for one in arguments])
    if origin in (list, tuple, dict):
        inner = [kindOf(one) for one in arguments]
        return {list: List, dict: Dict}[origin](*inner) if origin is not tuple else Tuple(inner)
    if type_ in (str, int, float, bool):
        return Text(type_)
    if type_ is type(None):
        return Nothing()
    for base, kind in ((PurePath, Text), (enum.Enum, Name), (slicer.vtkMRMLNode, Node)):
        if isinstance(type_, type) and issubclass(type_, base):
            return kind(type_)
    raise TypeError(f"the stand-in for parameterNodeWrapper does not know {type_!r}")
