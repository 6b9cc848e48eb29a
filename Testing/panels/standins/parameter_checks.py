"""The annotations of parameters: defaults, bounds, choices, and hints for spin boxes."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, get_args


class Default:
    """The value of a parameter that was never set; a generator is called each time."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._make = generator or (lambda: value)

    @property
    def value(self) -> Any:
        """The value, made anew where there is a generator."""
        return self._make()


class Validator(abc.ABC):
    """Says whether a value may be set."""

    @abc.abstractmethod
    def validate(self, value: Any) -> None:
        """Raise ValueError where it may not."""


@dataclasses.dataclass
class Minimum(Validator):
    """Nothing less."""

    minimum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for less."""
        if value < self.minimum:
            raise ValueError(f"{value} is less than {self.minimum}")


@dataclasses.dataclass
class Maximum(Validator):
    """Nothing more."""

    maximum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for more."""
        if value > self.maximum:
            raise ValueError(f"{value} is more than {self.maximum}")


@dataclasses.dataclass
class WithinRange(Validator):
    """Nothing less and nothing more."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError outside."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


@dataclasses.dataclass
class Choice(Validator):
    """One of these."""

    choices: list[Any]

    def validate(self, value: Any) -> None:
        """Raise ValueError for another."""
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


@dataclasses.dataclass
class Decimals:
    """Decimals of a spin box."""

    value: int


@dataclasses.dataclass
class SingleStep:
    """Step of a spin box."""

    value: float


def split(datatype: Any) -> tuple[Any, list[Any]]:
    """Return a type without its annotations, and these."""
    plain, *annotations, _ = get_args(Annotated[datatype, None])
    return plain, annotations


def first(datatype: Any, kind: type) -> Any:
    """Return the first annotation of a kind, or None."""
    return next((one for one in split(datatype)[1] if isinstance(one, kind)), None)
