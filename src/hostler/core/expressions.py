"""CEL expressions over an execution's outputs: checked when they are set, evaluated with a bounded cost.

The library is loaded when the first expression is. Its evaluation has an iteration budget and a recursion limit of its
own; what it refuses counts as not held, with the reason. It has no limit on memory, and a chain such as
`.map(x, x + x)` doubles what it works on at each step, so loops are bounded before anything is evaluated.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from hostler.core.errors import InvalidArgument

LONGEST = 2000
"""Characters of an expression."""
LONGEST_REASON = 500
LOOP = re.compile(r"\b(?:map|filter|all|exists|exists_one|existsOne)\b")
"""Loops, counted wherever their names stand, also inside text: too many is safer than too few."""
MOST_LOOPS, MOST_SUMS, MOST_COMMAS = 3, 8, 60
"""Loops of an expression, and the `+` and `,` that one with a loop may have."""
FAULTS = (RuntimeError, TypeError, ValueError)
"""What the library raises for what it cannot read."""
Scalar = bool | int | float | str


def check(expression: str, field: str, *, of: str = "outputs") -> None:
    """Raise InvalidArgument, with the position, for what is no expression that says yes or no."""
    if not expression.strip():
        raise InvalidArgument("an expression is needed, such as outputs.tests_passed == true", field=field)
    if len(expression) > LONGEST:
        raise InvalidArgument(f"an expression has at most {LONGEST} characters", field=field)
    if costly := _costly(expression):
        raise InvalidArgument(costly, field=field)
    try:
        name = _compiled(expression, of).return_type().name()
    except FAULTS as fault:
        raise InvalidArgument(_said(fault), field=field) from None
    if name not in ("BOOL", "DYN"):
        raise InvalidArgument(f"the expression must say true or false; it gives {name}", field=field)


def unmet(expression: str, values: Mapping[str, Any], *, of: str = "outputs") -> str:
    """Return '' when an expression holds over `values` (its variables), else why not."""
    from cel_expr_python import cel

    if costly := _costly(expression):
        return costly
    try:
        found = _compiled(expression, of).eval(data=dict(values))
    except FAULTS as fault:
        return _said(fault)
    if found.type() == cel.Type.BOOL:
        return "" if found.value() else "it is false"
    if found.type() == cel.Type.ERROR:
        return str(found.value())[:LONGEST_REASON]
    return f"it gives {found.type().name()} instead of true or false"


def _costly(expression: str) -> str:
    """Return why evaluating an expression could cost too much; '' when it cannot."""
    loops = len(LOOP.findall(expression))
    if loops > MOST_LOOPS:
        return (
            f"an expression has at most {MOST_LOOPS} of map, filter, all, exists and exists_one; this one has {loops}"
        )
    if loops and (expression.count("+") > MOST_SUMS or expression.count(",") > MOST_COMMAS):
        return f"an expression with a loop has at most {MOST_SUMS} signs + and {MOST_COMMAS} commas"
    return ""


@lru_cache(maxsize=256)
def _compiled(expression: str, of: str) -> Any:
    return _environment(of).compile(expression)


@lru_cache(maxsize=2)
def _environment(of: str) -> Any:
    """Return what expressions may name: `outputs` and `iteration`, or `value` alone."""
    from cel_expr_python import cel

    if of == "value":
        return cel.NewEnv(variables={"value": cel.Type.DYN})
    outputs = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(variables={"outputs": outputs, "iteration": cel.Type.INT})


def _said(fault: Exception) -> str:
    """Return the library's message without its own codes; it has the position in it."""
    if not isinstance(fault, RuntimeError):
        return "it holds a character that is no text"
    text = str(fault).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    return text.replace("ERROR: <input>:", "at ")[:LONGEST_REASON]
