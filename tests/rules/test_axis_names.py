"""Axes by name, wherever NumPy takes an axis: the same as by position, for every function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spatial_duck import SpatialArray, rules
from spatial_duck.errors import GeometryError
from spatial_duck.rules._bind import AXIS_PARAMETERS, parameters_of
from tests.rules.calls import OVERRIDABLE, build, find, images, wrap
from tests.rules.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable


def numbered() -> SpatialArray:
    data = np.arange(24.0).reshape(2, 3, 4)
    return SpatialArray(data, spacing=(4.0, 2.0, 0.5), origin=(1, 2, 3), dims=("z", "y", "x"))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, SpatialArray):
        return (
            isinstance(b, SpatialArray)
            and a.geometry == b.geometry
            and a.lost == b.lost
            and same(a.data, b.data)
        )
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    return bool(a == b) or (a != a and b != b)


#: What is said by name, and by position.
PAIRS: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda i: i.mean("z"), lambda i: i.mean(0)),
    (lambda i: i.sum(axis=("y", "x")), lambda i: i.sum(axis=(1, 2))),
    (lambda i: i.max("x", keepdims=True), lambda i: i.max(2, keepdims=True)),
    (lambda i: np.flip(i, "x"), lambda i: np.flip(i, 2)),
    (lambda i: np.flip(i, ("x", 0)), lambda i: np.flip(i, (2, 0))),
    (lambda i: i.transpose("x", "y", "z"), lambda i: i.transpose(2, 1, 0)),
    (lambda i: np.transpose(i, ["y", "z", "x"]), lambda i: np.transpose(i, [1, 0, 2])),
    (lambda i: i.swapaxes("x", "z"), lambda i: i.swapaxes(2, 0)),
    (lambda i: np.moveaxis(i, "x", 0), lambda i: np.moveaxis(i, 2, 0)),
    (lambda i: np.moveaxis(i, ["x", "y"], ["z", "x"]), lambda i: np.moveaxis(i, [2, 1], [0, 2])),
    (lambda i: np.rollaxis(i, "x"), lambda i: np.rollaxis(i, 2)),
    (lambda i: np.rot90(i, axes=("y", "x")), lambda i: np.rot90(i, axes=(1, 2))),
    (lambda i: np.concatenate([i, i[::-1]][:1], axis="y"), lambda i: np.concatenate([i], axis=1)),
    (lambda i: np.concatenate([i[:, :1], i[:, 1:]], "y"), lambda i: i.copy()),
    (lambda i: np.split(i, 2, "x"), lambda i: np.split(i, 2, 2)),
    (lambda i: np.unstack(i, axis="y"), lambda i: np.unstack(i, axis=1)),
    (lambda i: np.roll(i, (1, 2), ("z", "x")), lambda i: np.roll(i, (1, 2), (0, 2))),
    (lambda i: np.take(i, [0, 2], "x"), lambda i: np.take(i, [0, 2], 2)),
    (lambda i: i.take([1], axis="y"), lambda i: i.take([1], axis=1)),
    (lambda i: i.repeat(2, "y"), lambda i: i.repeat(2, 1)),
    (lambda i: np.delete(i, 0, "x"), lambda i: np.delete(i, 0, 2)),
    (lambda i: np.insert(i, 0, 7, axis="x"), lambda i: np.insert(i, 0, 7, axis=2)),
    (lambda i: i.compress([0, 1, 1], "y"), lambda i: i.compress([0, 1, 1], 1)),
    (lambda i: np.diff(i, axis="y"), lambda i: np.diff(i, axis=1)),
    (lambda i: np.gradient(i, axis="x"), lambda i: np.gradient(i, axis=2)),
    (lambda i: np.cumsum(i, "x"), lambda i: np.cumsum(i, 2)),
    (lambda i: np.sort(i, "y"), lambda i: np.sort(i, 1)),
    (lambda i: i.argsort("y"), lambda i: i.argsort(1)),
    (lambda i: np.percentile(i, [5, 50], "z"), lambda i: np.percentile(i, [5, 50], 0)),
    (lambda i: np.median(i, ("z", "x")), lambda i: np.median(i, (0, 2))),
    (lambda i: np.linalg.norm(i, axis="x"), lambda i: np.linalg.norm(i, axis=2)),
    (lambda i: np.fft.fftn(i, axes=("y", "x")), lambda i: np.fft.fftn(i, axes=(1, 2))),
    (lambda i: np.fft.fftshift(i, "x"), lambda i: np.fft.fftshift(i, 2)),
    (lambda i: np.trace(i, axis1="z", axis2="y"), lambda i: np.trace(i, axis1=0, axis2=1)),
    (lambda i: i.diagonal(0, "y", "x"), lambda i: i.diagonal(0, 1, 2)),
    (lambda i: np.squeeze(i[:, :1], "y"), lambda i: np.squeeze(i[:, :1], 1)),
    (lambda i: np.apply_along_axis(np.sum, "x", i), lambda i: np.apply_along_axis(np.sum, 2, i)),
    (
        lambda i: np.lib.stride_tricks.sliding_window_view(i, 2, "x"),
        lambda i: np.lib.stride_tricks.sliding_window_view(i, 2, 2),
    ),
    (lambda i: np.tensordot(i, i, ("x", "x")), lambda i: np.tensordot(i, i, (2, 2))),
    (
        lambda i: np.take_along_axis(i, np.argsort(i.data, 2), "x"),
        lambda i: np.take_along_axis(i, np.argsort(i.data, 2), 2),
    ),
    (lambda i: np.add.reduce(i, "y"), lambda i: np.add.reduce(i, 1)),
    (lambda i: np.add.accumulate(i, axis="y"), lambda i: np.add.accumulate(i, axis=1)),
    (lambda i: np.add.reduceat(i, [0, 2], "x"), lambda i: np.add.reduceat(i, [0, 2], 2)),
    (lambda i: np.vecdot(i, i, axis="y"), lambda i: np.vecdot(i, i, axis=1)),
    (lambda i: np.average(i, "x", np.arange(4.0)), lambda i: np.average(i, 2, np.arange(4.0))),
    (lambda i: _sorted(i, "y"), lambda i: _sorted(i, 1)),
]


if np.lib.NumpyVersion(np.__version__) >= "2.4.0":
    PAIRS.append((lambda i: np.pad(i, {"x": (1, 2), 0: 1}), lambda i: np.pad(i, {2: (1, 2), 0: 1})))


def _sorted(image: SpatialArray, axis: Any) -> SpatialArray:
    changed = image.copy()
    changed.sort(axis)
    changed.partition(1, axis=axis)
    return changed


@pytest.mark.parametrize("n", range(len(PAIRS)))
def test_names_are_positions(n: int) -> None:
    by_name, by_position = PAIRS[n]
    image = numbered()
    assert same(by_name(image), by_position(image))


def _names(value: Any, dims: tuple[Any, ...]) -> Any:
    """Return positions as names, where the axes have some."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        name = dims[value] if -len(dims) <= value < len(dims) else None
        return value if name is None else name
    return type(value)([_names(v, dims) for v in value])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_calls_of_all_functions_with_names() -> None:
    """Each recipe of the tests of rules that gives an axis, with that axis's name."""
    wrong, tried = [], set()
    for recipe in RECIPES:
        function = find(recipe.name)
        rule = rules.find(function) if function is not None else None
        if rule is None or not rule.axes or rule.adds_axes or function in (
            np.tensordot, np.linalg.tensordot, np.lexsort,
        ):  # fmt: skip
            continue
        args, kwargs = build((recipe.args, recipe.kwargs), wrap)
        dims = images((args, kwargs))[0].dims
        named_args = list(args)
        named_kwargs = dict(kwargs)
        for position, name in rule.axes:
            if name in ("start", "pad_width"):
                continue
            if position < len(args):
                named_args[position] = _names(args[position], dims)
            elif name in kwargs:
                named_kwargs[name] = _names(kwargs[name], dims)
        if repr(named_args) == repr(list(args)) and repr(named_kwargs) == repr(kwargs):
            continue
        tried.add(function)
        again_args, again_kwargs = build((recipe.args, recipe.kwargs), wrap)
        if not same(function(*named_args, **named_kwargs), function(*again_args, **again_kwargs)):
            wrong.append(f"{recipe.name}: {named_kwargs or named_args[1:]}")
    assert not wrong
    assert len(tried) > 90


def test_every_function_with_an_axis_takes_names() -> None:
    """Each parameter that is an axis is listed with its rule, and a wrong name is refused."""
    unknown = []
    for function in OVERRIDABLE:
        rule = rules.find(function)
        if rule is None:
            continue
        listed = {name for _, name in rule.axes}
        takes = {p.name for p in parameters_of(function) if p.name in AXIS_PARAMETERS}
        if listed != takes:
            unknown.append(function)
    assert not unknown


@pytest.mark.parametrize(
    "call",
    [
        lambda i: i.mean("w"),
        lambda i: np.flip(i, ("x", "w")),
        lambda i: np.pad(i, {"w": 1}),
        lambda i: i.sort("w"),
        lambda i: np.add.reduce(i, "w"),
        lambda i: i.transpose("x", "y", "w"),
    ],
)
def test_a_name_that_no_axis_has_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(GeometryError, match=r"no axis is named 'w'; dims are \('z', 'y', 'x'\)"):
        call(numbered())


@pytest.mark.parametrize(
    "call",
    [
        lambda i: np.stack([i, i], axis="t"),
        lambda i: np.stack([i, i], "x"),
        lambda i: np.expand_dims(i, "t"),
        lambda i: np.linspace(i, i + 1, axis="x"),
    ],
)
def test_new_axes_take_no_names(call: Callable[[Any], Any]) -> None:
    with pytest.raises(GeometryError, match="new axes have no names"):
        call(numbered())


def test_of_several_images_the_first_names_the_axes() -> None:
    image = numbered()
    turned = SpatialArray(np.ones((4, 3, 2)), dims=("x", "y", "z"))
    assert same(np.average(image, "x", image), np.average(image, 2, image))
    with pytest.raises(GeometryError, match="same dims"):
        np.tensordot(image, turned, axes=("x", "x"))


@pytest.mark.parametrize("name", ["mean", "flip", "cumsum", "argmax", "roll"])
def test_names_on_every_backend(backend: Any, name: str) -> None:
    image = SpatialArray(backend.make(np.arange(24.0).reshape(2, 3, 4)), spacing=(4.0, 2.0, 0.5))
    arguments = (1, "y") if name == "roll" else ("y",)
    positions = (1, 1) if name == "roll" else (1,)
    found = getattr(np, name)(image, *arguments)
    assert found.geometry == getattr(np, name)(image, *positions).geometry
    wanted = getattr(np, name)(np.arange(24.0).reshape(2, 3, 4), *positions)
    np.testing.assert_array_equal(backend.to_numpy(found.compute().data), wanted)


def test_names_in_the_array_api() -> None:
    image = numbered()
    xp = image.__array_namespace__()
    assert same(xp.sum(image, axis="y"), xp.sum(image, axis=1))
    assert same(xp.permute_dims(image, ("x", "z", "y")), xp.permute_dims(image, (2, 0, 1)))
    assert same(xp.concat([image[:1], image[1:]], axis="z"), image)
