"""The tables of rules are whole: every function of NumPy is in one, with NumPy's parameters."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing.overrides import get_overridable_numpy_ufuncs

from spatial_duck import SpatialArray, rules
from spatial_duck.array import _dispatch as dispatch
from tests.rules.calls import OVERRIDABLE, find
from tests.rules.recipes import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

#: Parameters that old versions have and rules do not: passing them is a TypeError.
RETIRED = {"newshape", "interpolation", "bias", "ddof", "style", "fix_imports"}


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


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if rules.find(f)], ids=name_of)
def test_rules_have_the_parameters_of_numpy(function: Any) -> None:
    try:
        theirs = inspect.signature(function).parameters
    except ValueError:
        pytest.skip("NumPy gives no signature for this function in this version")
    rule = rules.find(function)
    assert rule is not None
    ours = inspect.signature(rule.geometry).parameters
    newest = np.lib.NumpyVersion(np.__version__) >= "2.5.0"
    if newest:
        assert _described(ours) == _described(theirs)
        return
    # Of older versions a rule takes all that they have; what came later has a default.
    for name, parameter in theirs.items():
        assert name in ours or name in RETIRED
        if name in ours and parameter.kind is parameter.KEYWORD_ONLY:
            assert ours[name].kind is parameter.KEYWORD_ONLY
    for name, parameter in ours.items():
        optional = parameter.default is not parameter.empty or name == "shape"
        assert name in theirs or optional or parameter.kind is parameter.VAR_KEYWORD
    common = [n for n in theirs if n in ours]
    assert common == [n for n in ours if n in theirs]


def _described(parameters: Any) -> list[tuple[str, Any, str]]:
    return [(p.name, p.kind, repr(p.default)) for p in parameters.values()]


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
