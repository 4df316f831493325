"""Arithmetic in a model's text, read as a tree and worked out in exact fractions; never evaluated as code.

The text is hostile: whatever it holds, reading it is bounded in time and memory, and a refusal is None.
"""

import ast
import operator
import re
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 200
"""Characters of an expression: four numbers with brackets and spaces need fewer than 60."""
MOST_DIGITS = 9
DEEPEST = 20
"""Operations within operations."""

_WRITTEN = re.compile(r"[0-9+\-*/() \t]+")
_OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_LONG_NUMBER = re.compile(rf"[0-9]{{{MOST_DIGITS + 1}}}")


@dataclass(frozen=True, slots=True)
class Expression:
    """The value of an expression, and the numbers it uses, in the order of the text."""

    value: Fraction
    numbers: tuple[int, ...]


def read_expression(text: str) -> Expression | None:
    """The expression that the whole text is, or None.

    Read: natural numbers of at most 9 digits, + - * / between two of them, brackets and spaces. Not read: signs
    before a number, decimals, powers, names, anything else that Python knows, a division by zero, more than 200
    characters, more than 20 operations within each other.
    """
    text = text.strip() if len(text) <= 2 * LONGEST else ""
    if len(text) > LONGEST or not _WRITTEN.fullmatch(text) or _LONG_NUMBER.search(text):
        return None
    try:
        tree = ast.parse(text, mode="eval")
        return _read(tree.body, DEEPEST)
    except (SyntaxError, RecursionError, MemoryError, ZeroDivisionError):
        return None


def _read(node: ast.expr, depth: int) -> Expression | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Expression(Fraction(node.value), (node.value,))
    if not isinstance(node, ast.BinOp) or depth == 0:
        return None
    left, right = _read(node.left, depth - 1), _read(node.right, depth - 1)
    if left is None or right is None:
        return None
    calculate = _OPERATIONS.get(type(node.op))
    if calculate is None:
        return None
    return Expression(calculate(left.value, right.value), left.numbers + right.numbers)
