"""The few `$` expressions that may run: parsed into a tree, checked node by node, and computed by this file.

Python's `eval` is never called: what was checked is the very tree that is computed.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from DeepImagingLib.bundles import allowed
from DeepImagingLib.bundles.references import REFERENCE, SEPARATOR

MAX_TEXT = 4000
MAX_INT = 2**31
MAX_ITEMS = 10_000
MAX_TOTAL = 2_000_000
"""Items and characters that all values of one config may have together, a shared part counted wherever it stands."""

_PLACEHOLDER = "_reference_of_config_"

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
# In a lambda, masks are combined bitwise: `lambda x: (x > 0) & (x < 5)`.
_LAMBDA_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.Invert: operator.invert,
}
_OF_LAMBDA = (ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.Compare)


class UnsafeExpression(ValueError):
    """The expression does something that isn't on the list; the text says what."""


class Uncomputable(ValueError):
    """An allowed expression has no value, or one too large."""


class TooMuch(ValueError):
    """The values of a config grow beyond any sensible size."""


class Budget:
    """Counts what is made from one config: shared lists make billions of items out of a few short lines."""

    def __init__(self, total: int = MAX_TOTAL) -> None:
        self._left = total

    def afford(self, value: Any) -> Any:
        """Return `value` and count it, as if nothing within it were shared; raises TooMuch where it is spent."""
        waiting = [value]
        while waiting:
            part = waiting.pop()
            if isinstance(part, (str, list, tuple, dict)):
                self._left -= 1 + len(part)
            if self._left < 0:
                raise TooMuch(f"grows beyond {MAX_TOTAL} items")
            if isinstance(part, dict):
                waiting += [*part.keys(), *part.values()]
            elif isinstance(part, (list, tuple)):
                waiting += part
        return value


@dataclass(frozen=True)
class Expression:
    """A checked expression: its tree, in which placeholder names stand for the ids in `references`."""

    tree: ast.expr
    references: tuple[str, ...]


def parse(text: str) -> Expression:
    """Parse and check an expression of a config, given without its leading `$`.

    Raises:
        UnsafeExpression: It isn't one expression, or has a part that isn't allowed.
    """
    tree, references = _tree(text)
    try:
        _check_lambda(tree) if isinstance(tree, ast.Lambda) else _check(tree)
    except UnsafeExpression as error:
        raise UnsafeExpression(_as_written(str(error), references)) from None
    return Expression(tree, tuple(references))


def call_arguments(text: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments of a call, by place and by name, as texts of expressions that nobody has checked yet.

    Raises:
        UnsafeExpression: It isn't one call, or takes an argument apart.

    Example:
        >>> call_arguments("@detector.set(0.5, size=@window)")
        (['0.5'], {'size': '@window'})
    """
    tree, references = _tree(text)
    parts = [*tree.args, *tree.keywords] if isinstance(tree, ast.Call) else [None]
    if any(part is None or isinstance(part, ast.Starred) or getattr(part, "arg", "") is None for part in parts):
        raise UnsafeExpression(f"`{text}`")
    assert isinstance(tree, ast.Call)
    values = [_as_written(ast.unparse(value), references) for value in tree.args]
    return values, {str(part.arg): _as_written(ast.unparse(part.value), references) for part in tree.keywords}


def _tree(text: str) -> tuple[ast.expr, list[str]]:
    """Return the tree of an expression, and the ids for which placeholders stand in it."""
    if len(text) > MAX_TEXT:
        raise UnsafeExpression(f"an expression of {len(text)} characters")
    if _PLACEHOLDER in text:
        raise UnsafeExpression(f"the reserved name {_PLACEHOLDER}")
    references: list[str] = []

    def put(match: str) -> str:
        if match == "@":
            raise UnsafeExpression("an `@` that refers to nothing")
        references.append(match[1:])
        return f" {_PLACEHOLDER}{len(references) - 1} "

    python = REFERENCE.sub(lambda match: put(match[0]), text.replace("#", SEPARATOR)).strip()
    try:
        tree = ast.parse(python, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnsafeExpression(f"{text!r}, which is not an expression on its own") from error
    return tree, references


def _as_written(text: str, references: Sequence[str]) -> str:
    """Put the references back into a text that shows a part of an expression."""
    for number in reversed(range(len(references))):
        text = text.replace(f"{_PLACEHOLDER}{number}", f"@{references[number]}")
    return text


def dotted(node: ast.AST) -> str | None:
    """Return "a.b.c" for a name or a chain of attributes on a name, else None."""
    if isinstance(node, ast.Name):
        return None if node.id.startswith(_PLACEHOLDER) else node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)) is not None:
        return f"{base}.{node.attr}"
    return None


def _is_reference(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id.startswith(_PLACEHOLDER)


def _check(node: ast.AST) -> None:
    """Raise UnsafeExpression unless `node` and all within it are allowed."""
    if isinstance(node, ast.Constant):
        _check_constant(node.value)
    elif isinstance(node, ast.Name):
        if not _is_reference(node):
            raise UnsafeExpression(f"the name `{node.id}`")
    elif isinstance(node, ast.Attribute):
        if dotted(node) not in allowed.NAMES and dotted(node) not in allowed.COMMON_KEYS:
            raise UnsafeExpression(f"the attribute `{ast.unparse(node)}`")
    elif isinstance(node, ast.Call):
        _check_call(node)
    elif _has_only_parts(node):
        _check_children(node)
    else:
        raise UnsafeExpression(f"`{ast.unparse(node)}`")


def _has_only_parts(node: ast.AST) -> bool:
    """Tell whether `node` does nothing but put its parts together, so that judging these is enough."""
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        return type(node.op) in _OPERATORS
    if isinstance(node, ast.Dict):
        return None not in node.keys
    return isinstance(node, (ast.List, ast.Tuple, ast.Subscript, ast.Slice, ast.BoolOp, ast.Compare, ast.IfExp))


def _check_children(node: ast.AST) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _check(child)


def _check_constant(value: object) -> None:
    if not isinstance(value, (str, int, float, bool, type(None))):
        raise UnsafeExpression(f"the constant {value!r}")
    if isinstance(value, int) and abs(value) > MAX_INT:
        raise UnsafeExpression("a whole number beyond 2^31")
    if isinstance(value, str) and _PLACEHOLDER in value:
        raise UnsafeExpression("an `@` within a text")


def _check_call(node: ast.Call) -> None:
    """Allow listed functions by name, and `.to(...)`, `.eval()` on a reference.

    Arguments by name are for what makes networks alone.
    """
    maker = allowed.MAKERS.get(dotted(node.func) or "")
    if (receiver := _receiver(node)) is not None:
        known = isinstance(node.func, ast.Attribute) and node.func.attr in allowed.METHODS
        _check(receiver)
    else:
        known = maker is not None or dotted(node.func) in allowed.CALLS
    if not known or (node.keywords and maker is None) or (maker is not None and _may_download(node, maker.name)):
        raise UnsafeExpression(f"the call `{ast.unparse(node)}`")
    for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
        _check(argument)


def _may_download(node: ast.Call, name: str) -> bool:
    """Tell whether a call may ask for weights from elsewhere: of residual networks, `pretrained` comes first."""
    asked = [keyword.value for keyword in node.keywords if keyword.arg in (None, "pretrained")]
    asked += node.args if name in allowed.PRETRAINED else []
    return any(not isinstance(value, ast.Constant) or value.value is not False for value in asked)


def _receiver(node: ast.Call) -> ast.expr | None:
    """Return what a method is called on, a reference or another such call (`@network.to(@device).eval()`), or None."""
    if not isinstance(node.func, ast.Attribute):
        return None
    value = node.func.value
    chained = isinstance(value, ast.Call) and _receiver(value) is not None
    return value if chained or _is_reference(value) else None


def _check_lambda(node: ast.Lambda) -> None:
    """Allow comparisons and arithmetic of one parameter and constants: nothing is called, read or subscripted."""
    arguments = node.args
    names = [argument.arg for argument in arguments.args]
    plain = len(names) == 1 and len(ast.unparse(arguments)) == len(names[0])
    for part in ast.walk(node.body):
        if isinstance(part, (ast.operator, ast.unaryop, ast.cmpop)):
            plain &= type(part) in _OPERATORS or type(part) in _LAMBDA_OPERATORS
        elif isinstance(part, ast.Constant):
            plain &= isinstance(part.value, (int, float)) and abs(part.value) <= MAX_INT
        elif isinstance(part, ast.Name):
            plain &= part.id in names
        elif isinstance(part, ast.expr):
            plain &= isinstance(part, _OF_LAMBDA)
    if not plain:
        raise UnsafeExpression(f"`{ast.unparse(node)}`")


class Computer:
    """Computes checked expressions.

    Args:
        reference: Gives the value of an id of the config.
        name: Gives the value of a dotted name of `allowed.NAMES` or `allowed.CALLS`.
        budget: What all values together may hold; one of its own by default.
    """

    def __init__(
        self, reference: Callable[[str], Any], name: Callable[[str], Any], budget: Budget | None = None
    ) -> None:
        self._reference = reference
        self._name = name
        self._budget = budget or Budget()

    def compute(self, expression: Expression) -> Any:
        """Return the value of `expression`.

        Raises:
            Uncomputable: It has no value (a division by zero, a key that isn't there) or grows too large.
        """
        tree = expression.tree
        try:
            if isinstance(tree, ast.Lambda):
                return self._function(tree)
            return self._value(tree, dict(enumerate(expression.references)))
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            text = _as_written(ast.unparse(tree), expression.references)
            raise Uncomputable(f"the expression `{text}` can't be computed: {error}") from error

    def _function(self, node: ast.Lambda) -> Callable[[Any], Any]:
        parameter, body = node.args.args[0].arg, node.body
        return lambda value: self._value(body, {parameter: value})

    def _value(self, node: ast.AST, known: dict[Any, Any]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        return self._budget.afford(self._computed(node, known))

    def _computed(self, node: ast.AST, known: dict[Any, Any]) -> Any:
        match node:
            case ast.Name():
                return known[node.id] if node.id in known else self._reference(self._ident(node, known))
            case ast.Attribute():
                return self._named(dotted(node) or "")
            case ast.List() | ast.Tuple():
                items = [self._value(item, known) for item in node.elts]
                return items if isinstance(node, ast.List) else tuple(items)
            case ast.Dict():
                keys = [self._value(key, known) for key in node.keys if key is not None]
                return dict(zip(keys, [self._value(value, known) for value in node.values], strict=True))
            case ast.BinOp():
                return _operate(node.op, self._value(node.left, known), self._value(node.right, known))
            case ast.UnaryOp():
                return _operate(node.op, self._value(node.operand, known))
            case ast.IfExp():
                return self._value(node.body if self._value(node.test, known) else node.orelse, known)
            case ast.Slice():
                return slice(*(part and self._value(part, known) for part in (node.lower, node.upper, node.step)))
            case ast.Subscript():
                return _item(self._value(node.value, known), self._value(node.slice, known))
            case ast.BoolOp():
                return self._bool(node, known)
            case ast.Compare():
                return self._compare(node, known)
            case ast.Call():
                return self._call(node, known)
        raise TypeError(f"{type(node).__name__} is not known")

    @staticmethod
    def _ident(node: ast.Name, known: dict[Any, Any]) -> str:
        return str(known[int(node.id.removeprefix(_PLACEHOLDER))])

    def _named(self, name: str) -> Any:
        return allowed.COMMON_KEYS[name] if name in allowed.COMMON_KEYS else self._name(name)

    def _bool(self, node: ast.BoolOp, known: dict[Any, Any]) -> Any:
        stop_at = isinstance(node.op, ast.Or)
        value = None
        for part in node.values:
            value = self._value(part, known)
            if bool(value) is stop_at:
                break
        return value

    def _compare(self, node: ast.Compare, known: dict[Any, Any]) -> Any:
        left = self._value(node.left, known)
        result: Any = True
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._value(right_node, known)
            result = _operate(op, left, right)
            if len(node.ops) > 1 and not result:
                return result
            left = right
        return result

    def _call(self, node: ast.Call, known: dict[Any, Any]) -> Any:
        arguments = [self._value(argument, known) for argument in node.args]
        if (receiver := _receiver(node)) is not None and isinstance(node.func, ast.Attribute):
            return _method(self._value(receiver, known), node.func.attr, arguments)
        name = dotted(node.func) or ""
        named = {str(keyword.arg): self._value(keyword.value, known) for keyword in node.keywords}
        return _limited(_FUNCTIONS[name](*arguments) if name in _FUNCTIONS else self._name(name)(*arguments, **named))


def _bounded_range(*arguments: int) -> range:
    numbers = range(*arguments)
    if len(numbers) > MAX_ITEMS:
        raise ValueError(f"range longer than {MAX_ITEMS}")
    return numbers


def _text_of(*arguments: Any) -> str:
    """Return `str` of a single value: the text of a list grows with all that is in it."""
    if any(not isinstance(a, _SINGLE) and type(a).__name__ not in _SINGLE_OF_TORCH for a in arguments):
        raise TypeError("`str` is for texts and numbers")
    return str(*arguments)


_SINGLE = (str, int, float, bool, type(None))
_SINGLE_OF_TORCH = ("device", "dtype")

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (abs, bool, float, int, len, list, max, min, tuple)},
    "range": _bounded_range,
    "str": _text_of,
}


def _operate(op: ast.AST, *operands: Any) -> Any:
    """Apply an operator; `*` and `%` take numbers only, so that no text or list is repeated or formatted."""
    if isinstance(op, (ast.Mult, ast.Mod)) and any(isinstance(o, (str, bytes, list, tuple, dict)) for o in operands):
        raise TypeError("`*` and `%` are for numbers")
    return _limited((_OPERATORS.get(type(op)) or _LAMBDA_OPERATORS[type(op)])(*operands))


def _limited(value: Any) -> Any:
    """Return `value`; raises ValueError where it outgrew any sensible setting."""
    if isinstance(value, int) and abs(value) > MAX_INT**2:
        raise ValueError("number too large")
    if isinstance(value, (str, list, tuple)) and len(value) > MAX_ITEMS:
        raise ValueError(f"more than {MAX_ITEMS} items")
    return value


def _item(value: Any, key: Any) -> Any:
    if not isinstance(value, (str, list, tuple, dict)):
        raise TypeError(f"a {type(value).__name__} has no items to take")
    return value[key]


def _method(value: Any, name: str, arguments: list[Any]) -> Any:
    """Call `.to(...)` or `.eval()`, on networks only."""
    import torch

    if not isinstance(value, torch.nn.Module):
        raise TypeError(f".{name}() is for networks, not for a {type(value).__name__}")
    return getattr(value, name)(*arguments)
