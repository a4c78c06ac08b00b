"""CEL expressions over an execution's outputs: checked when they are set, evaluated with a bounded cost.

The library is loaded when the first expression is. Its evaluation has an iteration budget and a recursion limit of its
own; what it refuses counts as not held, with the reason.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from hostler.core.errors import InvalidArgument

LONGEST = 2000
"""Characters of an expression."""
LONGEST_REASON = 500
Scalar = bool | int | float | str


def check(expression: str, field: str, *, of: str = "outputs") -> None:
    """Raise InvalidArgument, with the position, for what is no expression that says yes or no."""
    if not expression.strip():
        raise InvalidArgument("an expression is needed, such as outputs.tests_passed == true", field=field)
    if len(expression) > LONGEST:
        raise InvalidArgument(f"an expression has at most {LONGEST} characters", field=field)
    try:
        name = _compiled(expression, of).return_type().name()
    except RuntimeError as fault:
        raise InvalidArgument(_said(fault), field=field) from None
    if name not in ("BOOL", "DYN"):
        raise InvalidArgument(f"the expression must say true or false; it gives {name}", field=field)


def unmet(expression: str, values: Mapping[str, Any], *, of: str = "outputs") -> str:
    """Return '' when an expression holds over `values` (its variables), else why not."""
    from cel_expr_python import cel

    try:
        found = _compiled(expression, of).eval(data=dict(values))
    except RuntimeError as fault:
        return _said(fault)
    if found.type() == cel.Type.BOOL:
        return "" if found.value() else "it is false"
    if found.type() == cel.Type.ERROR:
        return str(found.value())[:LONGEST_REASON]
    return f"it gives {found.type().name()} instead of true or false"


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


def _said(fault: RuntimeError) -> str:
    """Return the library's message without its own codes; it has the position in it."""
    text = str(fault).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    return text.replace("ERROR: <input>:", "at ")[:LONGEST_REASON]
