"""Each recipe on each backend: right, or refused as the bare backend refuses it.

``python -m tests.rules.coverage`` prints how many functions of each family are right and refused;
the README shows it. A function is right on a backend if one of its recipes is, and none is wrong.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from contextlib import nullcontext
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import SpatialArray, SpatialDuckError, backends, rules
from spatial_duck.rules.__main__ import family as family_of
from spatial_duck.testing import assert_lazy
from tests.rules.calls import OVERRIDABLE, build, find, geometry_of
from tests.rules.recipes import RECIPES, Im, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BACKENDS", "NoSuchType", "check", "outcome", "table", "versions"]


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


def _of(library: str) -> Callable[[Any], Any]:
    def make(array: Any) -> Any:
        if library == "jax":
            import jax

            jax.config.update("jax_enable_x64", True)
        return backends.to(array, library)

    return make


def _to_numpy(array: Any) -> Any:
    if hasattr(array, "dask"):
        return np.asarray(array.compute(scheduler="synchronous"))
    kind = type(array).__module__.partition(".")[0]
    return backends.to(array, "numpy") if kind in ("sparse", "torch") else np.asarray(array)


#: How each backend makes an array of NumPy's, and its arrays' names in the table.
BACKENDS: dict[str, Callable[[Any], Any]] = {
    "numpy": np.array,
    "dask": _dask,
    "zarr": _zarr,
    **{library: _of(library) for library in ("array_api_strict", "torch", "jax", "sparse")},
}
#: Recipes for which Dask tells a wrong shape, which is refused: it takes a line of quantiles only.
WRONG = {"nanquantile-0"}
#: What backends refuse by.
REFUSALS = (
    TypeError, NotImplementedError, AttributeError, ValueError, IndexError, KeyError, RuntimeError,
)  # fmt: skip


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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Zarr warns of types that are not in its standard
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


@cache
def outcome(label: str, backend: str) -> str:
    """Return what `check` says of the recipe of a label; "refused" for types not to be had."""
    try:
        return check(_BY_LABEL[label], backend)
    except NoSuchType:
        return "refused"


_BY_LABEL = {r.label: r for r in RECIPES}


def family(function: Any) -> str:
    """Return the module of rules that a function is in."""
    return "refused by us" if rules.find(function) is None else family_of(function)


def _name(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__name__', '')}"


def table(names: tuple[str, ...] | None = None) -> list[list[str]]:
    """Return how many functions of each family are right / refused on backends that are installed.

    Parameters
    ----------
    names : tuple of str, optional
        The backends.

    Returns
    -------
    list of list of str
        The rows, the header first; the last sums up.
    """
    names = names or tuple([b for b in BACKENDS if find_spec(b)])
    labels: dict[str, list[str]] = defaultdict(list)
    for recipe in RECIPES:
        labels[_name(find(recipe.name))].append(recipe.label)
    # By name: behind functions with like= NumPy has others of the same name.
    families: dict[str, set[str]] = defaultdict(set)
    for function in OVERRIDABLE:
        families[family(function)].add(_name(function))
    rows = [["family", "functions", *names]]
    total = dict.fromkeys(names, 0)
    for name, functions in sorted(families.items(), key=lambda f: (f[0] == "refused by us", f[0])):
        row = [name, str(len(functions))]
        for backend in names:
            right = sum(
                any([outcome(label, backend) == "right" for label in labels[f]]) for f in functions
            )
            total[backend] += right
            row.append(f"{right} / {len(functions) - right}")
        rows.append(row)
    whole = sum(map(len, families.values()))
    rows.append(["all", str(whole), *[f"{n} / {whole - n}" for n in total.values()]])
    return rows


def versions(names: tuple[str, ...] = tuple(BACKENDS)) -> str:
    """Return the versions of the libraries among those backends that are installed."""
    return ", ".join(
        [f"{b} {metadata.version(b.replace('_', '-'))}" for b in names if find_spec(b)]
    )


def main() -> None:
    """Print the table and the versions."""
    header, *rows = table()
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    sys.stdout.write("\n".join([f"| {' | '.join(line)} |" for line in lines]))
    sys.stdout.write(f"\n\n{versions()}\n")


if __name__ == "__main__":
    main()
