"""Expressions over outputs: what is refused when they are set, with the position, and what evaluating may cost."""

from collections.abc import Mapping
from typing import Any

import pytest

from hostler.core.errors import InvalidArgument
from hostler.core.expressions import LONGEST, check, unmet

TEN = "[0,1,2,3,4,5,6,7,8,9]"


def why(expression: str, **outputs: Any) -> str:
    return unmet(expression, {"outputs": outputs, "iteration": 1})


@pytest.mark.parametrize(
    ("expression", "outputs"),
    [
        ("outputs.green == true", {"green": True}),
        ("outputs.failures < 3", {"failures": 2}),
        ("outputs.ratio > 3", {"ratio": 3.5}),
        ("outputs['a b'] == 'x'", {"a b": "x"}),
        ("has(outputs.n) ? outputs.n > 1 : iteration > 0", {}),
        ("['a', 'b'].all(key, key in outputs && outputs[key] == true)", {"a": True, "b": True}),
        ("outputs.green", {"green": True}),
        ("outputs.note.matches('^(a+)+$') == false", {"note": "a" * 60 + "b"}),
    ],
)
def test_a_condition_holds_over_typed_outputs(expression: str, outputs: Mapping[str, Any]):
    check(expression, "f")
    assert why(expression, **outputs) == ""


@pytest.mark.parametrize(
    ("expression", "outputs", "reason"),
    [
        ("outputs.green == true", {"green": False}, "it is false"),
        ("outputs.green == true", {}, "green"),
        ("outputs.n > 3", {"n": "four"}, "No matching overloads"),
        ("outputs.n", {"n": 4}, "INT instead of true or false"),
        ("outputs.n / 0 == 1", {"n": 1}, "divide by zero"),
        ("outputs.n > 0", {"n": 1 << 70}, "out of range"),
        ("outputs.s == 'a'", {"s": "\ud800"}, ""),
    ],
)
def test_what_cannot_be_evaluated_is_unmet_with_the_reason(expression: str, outputs: Mapping[str, Any], reason: str):
    check(expression, "f")
    told = why(expression, **outputs)
    assert told
    assert reason in told


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "an expression is needed"),
        ("outputs.", "at 1:9"),
        ("outputs.a ==\n  && true", "at 2:3"),
        ("green == true", "at 1:1: undeclared reference to 'green'"),
        ("outputs.n + 1 > 2 && 3", "at 1:"),
        ("1 + 1", "it gives INT"),
        ("'yes'", "it gives STRING"),
        ("outputs.a == 'x\ud800'", "no text"),
        ("true || " * LONGEST, "at most 2000 characters"),
        ("(" * 200 + "true" + ")" * 200, "recursion"),
        (f"{TEN}.all(a, {TEN}.all(b, {TEN}.all(c, {TEN}.all(d, true))))", "at most 3 of map"),
        ("[1].map(x, x+x+x+x+x+x+x+x+x+x) == [1]", "at most 8 signs +"),
        ("[1].map(x, [" + "x," * 80 + "x]) == []", "60 commas"),
    ],
)
def test_a_bad_condition_is_refused_when_it_is_set_and_says_where(expression: str, said: str):
    with pytest.raises(InvalidArgument, match="f: ") as refused:
        check(expression, "f")
    assert said in refused.value.message


def test_an_evaluation_that_would_take_for_ever_or_all_memory_is_cut():
    hundred = f"{TEN}.map(a, {TEN}.map(b, {TEN}.map(c, '{'x' * 500}')))"
    check(f"{hundred} == []", "f")
    assert why(f"{hundred} == []")
    doubling = "[outputs.s]" + ".map(x, x + x)" * 100 + ".size() > 0"
    assert "at most 3" in why(doubling, s="x" * 4096)
    loops = ".map(x,[x,x])" * 60
    assert "at most 3" in why(f"[1]{loops} == [1]{loops}")


def test_a_requirement_names_nothing_but_its_value():
    check("value >= 3", "f", of="value")
    assert unmet("value >= 3", {"value": 3}, of="value") == ""
    with pytest.raises(InvalidArgument, match="undeclared reference"):
        check("outputs.a == 1", "f", of="value")
