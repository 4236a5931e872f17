"""Each recipe on each backend: right, or refused as the bare backend refuses it.

``python -m tests.rules.coverage`` prints how many functions of each family are right and refused.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import SpatialArray, SpatialDuckError, backends, rules
from spatial_duck.testing import assert_lazy
from tests.rules.calls import OVERRIDABLE, build, find, geometry_of
from tests.rules.recipes import RECIPES, Im, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BACKENDS", "NoSuchType", "check", "table"]


class NoSuchType(Exception):
    """A backend cannot hold values of a recipe's type."""


def _dask(array: Any) -> Any:
    import dask.array as da

    return da.from_array(array, chunks=tuple([n // 2 + 1 for n in array.shape]))


def _zarr(array: Any) -> Any:
    import zarr

    made = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=array.shape,
        chunks=tuple([n // 2 + 1 for n in array.shape]),
        dtype=array.dtype,
    )
    made[...] = array
    return backends.adopt(made)


def _strict(array: Any) -> Any:
    import array_api_strict

    return array_api_strict.asarray(array)


def _to_numpy(array: Any) -> Any:
    return np.asarray(array.compute(scheduler="synchronous") if hasattr(array, "dask") else array)


#: How each backend makes an array of NumPy's, and its arrays' names in the table.
BACKENDS: dict[str, Callable[[Any], Any]] = {
    "numpy": np.array,
    "dask": _dask,
    "zarr": _zarr,
    "array_api_strict": _strict,
}
#: Recipes for which Dask tells a wrong shape, which is refused: it takes a line of quantiles only.
WRONG = {"nanquantile-0"}
#: What backends refuse by.
REFUSALS = (TypeError, NotImplementedError, AttributeError, ValueError, IndexError, KeyError)


def _call(recipe: Recipe, of: Any, call: Any) -> Any:
    args, kwargs = build(recipe.args, of), build(recipe.kwargs, of)
    return call(find(recipe.name), args, kwargs)


def _plainly(function: Any, args: Any, kwargs: Any) -> Any:
    return function(*args, **kwargs)


def check(recipe: Recipe, backend: str) -> str:
    """Run a recipe on a backend; assert that the data and the places are right.

    Returns
    -------
    {"right", "refused"}

    Raises
    ------
    NoSuchType
        If the backend cannot hold the values.
    AssertionError
        If the result is wrong, something was computed early, or images are refused where bare
        arrays are not.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        return _check(recipe, backend)


def _check(recipe: Recipe, backend: str) -> str:
    make = BACKENDS[backend]

    def bare(im: Im) -> Any:
        try:
            return make(im.data)
        except Exception as error:
            raise NoSuchType(f"{backend} holds no {im.data.dtype}") from error

    def ours(im: Im) -> Any:
        return SpatialArray(bare(im), geometry_of(im))

    if recipe.place == "asked elsewhere" and backend != "numpy":
        return "refused"  # NumPy asks the elements, and then copies
    # To ask for an array of an image by np.asarray is to ask for its values.
    asked = recipe.name in ("array", "asarray")
    with nullcontext() if asked else assert_lazy():
        try:
            result = _call(recipe, ours, _plainly)
        except REFUSALS as error:
            result = error
        except SpatialDuckError:
            if recipe.label not in WRONG:
                raise
            return "refused"
        try:
            # NumPy itself would compute what Dask does not have: the backend's call does not.
            expected = _call(recipe, bare, backends.call)
        except REFUSALS as error:
            expected = error
    if isinstance(expected, Exception):
        assert isinstance(result, Exception), f"bare arrays are refused: {expected!r}"
        return "refused"
    if isinstance(result, Exception):
        raise AssertionError(
            f"images are refused where bare arrays are not: {result!r}"
        ) from result
    if "empty" not in recipe.name:
        try:
            expected = _in_memory(expected)
        except REFUSALS:
            return "refused"  # the backend takes it, and fails when it computes
        _same_data(expected, _in_memory(result))
    _same_places(_call(recipe, lambda im: SpatialArray(im.data.copy(), geometry_of(im)), _plainly),
                 result)  # fmt: skip
    return "right"


def _in_memory(value: Any) -> Any:
    """Return a result with its arrays brought to NumPy, each with the type that held it."""
    if isinstance(value, list | tuple):
        return type(value), [_in_memory(v) for v in value]
    if isinstance(value, SpatialArray):
        value = value.data
    return type(value), _to_numpy(value) if hasattr(value, "dtype") else value


def _same_data(expected: Any, result: Any) -> None:
    (kind, first), (other, second) = expected, result
    assert kind is other
    if issubclass(kind, list | tuple):
        for e, r in zip(first, second, strict=True):
            _same_data(e, r)
    elif hasattr(first, "dtype"):
        assert second.dtype == first.dtype
        np.testing.assert_array_equal(second, first)
    else:
        assert second == first


def _same_places(reference: Any, result: Any) -> None:
    if isinstance(reference, list | tuple):
        for e, r in zip(reference, result, strict=True):
            _same_places(e, r)
    elif isinstance(reference, SpatialArray):
        assert isinstance(result, SpatialArray), "an array came back bare"
        assert result.geometry._axes == reference.geometry._axes
        assert result.geometry._origin == reference.geometry._origin
        assert result.geometry.world == reference.geometry.world


def table() -> str:
    """Return how many functions of each family are right and refused on each backend."""
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    functions: dict[str, set[Any]] = defaultdict(set)
    for function in OVERRIDABLE:
        rule = rules.find(function)
        functions["refuses" if rule is None else rule.kind].add(
            f"{function.__module__}.{function.__name__}"
        )
    for recipe in RECIPES:
        function = find(recipe.name)
        if function not in OVERRIDABLE:
            continue
        rule = rules.find(function)
        assert rule is not None
        for backend in BACKENDS:
            try:
                outcome = check(recipe, backend)
            except NoSuchType:
                outcome = "refused"
            found[rule.kind, backend][outcome].add(recipe.name)
    lines = ["| family | functions | " + " | ".join(BACKENDS) + " |"]
    lines.append("| --- " * (len(BACKENDS) + 2) + "|")
    for kind in ("moves", "keeps", "derives", "plain"):
        cells = []
        for backend in BACKENDS:
            counts = found[kind, backend]
            cells.append(f"{len(counts['right'])} / {len(counts['refused'] - counts['right'])}")
        lines.append(f"| {kind} | {len(functions[kind])} | " + " | ".join(cells) + " |")
    refused = len(functions["refuses"])
    lines.append(
        f"| refused by us | {refused} | " + " | ".join([f"0 / {refused}"] * len(BACKENDS)) + " |"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
