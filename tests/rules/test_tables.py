"""The tables of rules are whole: every function of NumPy is in one, with NumPy's parameters."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing.overrides import get_overridable_numpy_ufuncs

from spatial_duck import SpatialArray, rules
from spatial_duck.array import _dispatch as dispatch
from spatial_duck.rules.__main__ import main
from spatial_duck.rules._bind import (
    AXIS_PARAMETERS,
    NO_VALUE,
    OLD_SIGNATURES,
    bind,
    parameters_of,
    signature_of,
)
from spatial_duck.rules._find import FAMILIES, LAZY
from tests.rules.calls import OVERRIDABLE, find
from tests.rules.recipes import RECIPES

NO_DEFAULT = inspect.Parameter.empty
FUNCTIONS = sorted(OVERRIDABLE, key=lambda f: (f.__module__, f.__name__))


def name_of(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}"


def test_numpy_lists_its_functions() -> None:
    assert len(FUNCTIONS) >= 295


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
def test_every_function_has_a_rule_or_is_refused(function: Any) -> None:
    rule = rules.find(function)
    refused = function in rules.REFUSED
    assert (rule is not None) != refused, f"{name_of(function)} is in no table: see rules/__init__"
    if rule is not None:
        assert rule.kind in ("moves", "keeps", "derives", "plain")


def test_rules_name_parameters_of_numpy() -> None:
    """Of some version: those of others have a default, and so does what NumPy has no value for."""
    wrong = []
    for function in FUNCTIONS:
        rule = rules.find(function)
        if rule is None:
            continue
        theirs = {p.name: p.default for p in parameters_of(function)}
        for name, parameter in inspect.signature(rule.source).parameters.items():
            own = parameter.default
            if name in {"image", "other", "name"} or parameter.kind is parameter.VAR_POSITIONAL:
                continue
            if name not in theirs:
                if own is parameter.empty:
                    wrong.append(f"{name_of(function)} has no {name!r}")
            elif own is not parameter.empty and repr(own) != repr(theirs[name]):
                if theirs[name] not in (NO_VALUE, parameter.empty) and len(SHARED[rule.source]) < 2:
                    wrong.append(f"{name_of(function)}: {name!r} is {theirs[name]!r} by default")
    assert not wrong


#: The functions of each rule as it is written.
SHARED: dict[Any, list[Any]] = {}
for _function in FUNCTIONS:
    if rules.find(_function) is not None:
        SHARED.setdefault(rules.find(_function).source, []).append(_function)  # type: ignore[union-attr]


def test_the_printed_table_has_each_function_under_a_family(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 0
    table = capsys.readouterr().out
    headings = [line for line in table.splitlines() if line.endswith(".py)")]
    assert headings == [
        f"{name} (rules/_{name}.py)" for name in sorted({*FAMILIES, *LAZY.values()})
    ]
    assert all(f"    {name_of(f)} " in table for f in (*rules.RULES, *rules.REFUSED))


def test_what_is_printed_of_a_function_is_where_its_rule_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["np.roll", "isclose", "save", "fft.fft", "sin"]) == 1
    printed = capsys.readouterr().out
    for path, line in re.findall(r"rules/(\w+\.py), line (\d+): ", printed):
        lines = (Path(rules.__file__).parent / path).read_text(encoding="utf-8").splitlines()
        assert lines[int(line) - 1].lstrip().startswith(("def ", "@"))
    assert printed.count("line ") == 3
    assert "sin: no rule" in printed


@pytest.mark.parametrize("name", sorted(OLD_SIGNATURES))
def test_parameters_stand_in_for_signatures_that_old_versions_lack(name: str) -> None:
    try:
        theirs = inspect.signature(getattr(np, name)).parameters
    except ValueError:
        pytest.skip("this version gives none")
    words = [word.partition("=") for word in OLD_SIGNATURES[name].split()]
    listed = [word for word, _, _ in words]
    assert all(theirs[word].default == int(default) for word, _, default in words if default)
    assert all(default or word not in AXIS_PARAMETERS or theirs[word].default in (None, NO_DEFAULT)
               for word, _, default in words)  # fmt: skip
    positional = [n for n, p in theirs.items() if p.kind is not p.KEYWORD_ONLY]
    assert [n for n in listed if n in positional] == positional[: len(listed)][: len(positional)]
    assert set(listed) <= {*theirs}


def test_functions_of_c_are_bound_where_numpy_gives_no_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As before NumPy 2.4: coordinates, which bind arguments by name, are carried all the same."""

    def no_signature(function: Any) -> Any:
        raise ValueError(f"no signature found for {function!r}")

    monkeypatch.setattr(inspect, "signature", no_signature)
    signature_of.cache_clear()
    try:
        image = SpatialArray(np.ones((3, 4)), dims=("c", "x"), coords={"channel": ("c", [1, 2, 3])})
        assert np.lexsort(image).shape == (4,)
        assert list(np.concatenate([image, image]).coords["channel"]) == [1, 2, 3, 1, 2, 3]
    finally:
        signature_of.cache_clear()


def test_a_rule_that_names_what_numpy_lacks_is_refused() -> None:
    def of_nothing(nothing: Any) -> None: ...

    with pytest.raises(RuntimeError, match=r"numpy\.flip has no parameter 'nothing'"):
        bind("flip", parameters_of(np.flip), of_nothing)


def test_functions_with_like_are_those_that_create() -> None:
    named = {r.name for r in RECIPES if "like" in r.kwargs}
    assert {find(name) for name in named} == rules.CREATES


def test_every_rule_has_a_recipe() -> None:
    covered = {find(r.name) for r in RECIPES}
    missing = [name_of(f) for f in rules.RULES if f not in covered]
    # Behind these stand the public functions of the same name.
    assert not missing


def test_every_recipe_is_of_a_function_of_some_version() -> None:
    gone = {r.name for r in RECIPES if find(r.name) is None}
    since = {
        "2.1": {"unstack", "cumulative_sum", "cumulative_prod"},
        "2.5": {"polynomial.polynomial.polyvalnd"},
    }
    expected = {n for names in since.values() for n in names} | {
        "trapz",
        "in1d",
        "strings.partition",
        "strings.rpartition",
    }
    assert gone <= expected


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f in rules.REFUSED], ids=name_of)
def test_refusals_say_what_to_do(function: Any, tmp_path: Path) -> None:
    reason = rules.REFUSED[function]
    assert "image.data" in reason
    image = SpatialArray(np.zeros(2, "i4,f4"))
    calls: dict[str, tuple[Any, ...]] = {
        "append_fields": (image, "n", image),
        "drop_fields": (image, "f0"),
        "find_duplicates": (image,),
        "join_by": ("f0", image, image),
        "merge_arrays": ((image, image),),
        "rec_append_fields": (image, "n", image),
        "rec_drop_fields": (image, "f0"),
        "rec_join": ("f0", image, image),
        "stack_arrays": ((image, image),),
    }
    arguments = calls.get(function.__name__, (tmp_path / "image", image))
    with pytest.raises(TypeError, match=function.__name__):
        function(*arguments)
    assert not list(tmp_path.iterdir())


def test_a_function_that_no_rule_knows_is_refused() -> None:
    class Stranger:
        __name__ = "stranger"
        __module__ = "elsewhere"

    with pytest.raises(TypeError, match=r"no rule for numpy\.stranger"):
        dispatch.call(Stranger(), (SpatialArray(np.zeros(2)),), {})


def test_ufuncs_are_listed() -> None:
    assert len(get_overridable_numpy_ufuncs()) >= 85
