"""Every ufunc × method × kind of `out` × kind of `where`: NumPy's numbers, or NumPy's error.

Never recursion, never a half-changed image.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing.overrides import get_overridable_numpy_ufuncs

from spatial_duck import Geometry, GeometryMismatchError, SpatialArray
from spatial_duck.testing import assert_lazy

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    # Those with an underscore are parts of functions on text, which call them with bare arrays.
    UFUNCS = sorted(
        [u for u in get_overridable_numpy_ufuncs() if not u.__name__.startswith("_")],
        key=lambda u: u.__name__,
    )

SHAPE = (3, 4)
METHODS = ("__call__", "reduce", "accumulate", "reduceat", "outer", "at")
OUTS = ("none", "wrapped", "bare", "tuple")
WHERES = ("none", "wrapped", "bare")

_random = np.random.default_rng(5)
_FLOATS = _random.uniform(0.1, 0.9, SHAPE)
_INTS = _random.integers(1, 5, SHAPE)
#: What a ufunc may take; the first that NumPy accepts is used for each.
KINDS: tuple[Any, ...] = (
    _FLOATS,
    _INTS,
    _FLOATS > 0.5,
    _FLOATS + 1j,
    _INTS.astype("m8[s]"),
    np.array([["ab", "c d", "12", "x"]] * 3),
)
MASK = _random.uniform(size=SHAPE) > 0.4
GEOMETRY = Geometry(SHAPE, (2.0, 0.5), (3.0, 4.0))
ELSEWHERE = GEOMETRY.replace(origin=(3.0, 5.0))


def inputs_of(ufunc: np.ufunc) -> tuple[Any, ...]:
    """Return inputs that NumPy accepts."""
    core = ufunc.signature is not None
    kinds = [*KINDS, np.array(2), np.array("ab"), np.array(0), np.array(9)]
    for choice in itertools.product(kinds, repeat=ufunc.nin):
        arrays = [c[:3, :3].copy() if core and c.ndim else c.copy() for c in choice]
        if not arrays[0].ndim:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ufunc(*arrays)
        except (TypeError, ValueError):
            continue
        return tuple(arrays)
    raise AssertionError(f"no inputs for {ufunc}")


def attempt(call: Any) -> tuple[Any, type[BaseException] | None]:
    """Return a result, or the kind of error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(), None
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            return error, type(error)


def arguments_of(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    first = inputs[0]
    match method:
        case "reduce" | "accumulate":
            return (first, 1)
        case "reduceat":
            return (first, [0, 2, 1], 1)
        case "at":
            return (first, ([0, 2], [1, 1]), *[i.ravel()[0] for i in inputs[1:]])
        case "outer":
            return (inputs[0], *[i.ravel()[:2] for i in inputs[1:]])
    return inputs


def wrapped(array: Any, geometry: Geometry | None = None) -> Any:
    if geometry is None:
        geometry = GEOMETRY[tuple(map(slice, array.shape))] if array.ndim == 2 else None
    return SpatialArray(array, geometry)


def results(value: Any) -> list[Any]:
    values = value if isinstance(value, tuple) else (value,)
    return [v.data if isinstance(v, SpatialArray) else v for v in values]


def run(ufunc: np.ufunc, method: str, inputs: Any, out: str, where: str, images: bool) -> Any:
    """Call a ufunc on fresh arrays; return the result, the error, and the arrays afterwards."""
    inputs = tuple([i.copy() for i in inputs])
    args = list(arguments_of(ufunc, method, inputs))
    if images:
        args[0] = wrapped(args[0])
    kwargs: dict[str, Any] = {}
    function = ufunc if method == "__call__" else getattr(ufunc, method)
    plain, error = attempt(lambda: function(*arguments_of(ufunc, method, inputs)))
    if where != "none":
        mask = MASK[tuple(map(slice, np.shape(inputs[0])))]
        kwargs["where"] = wrapped(mask.copy()) if images and where == "wrapped" else mask.copy()
        if method == "reduce":
            kwargs["initial"] = 1
    outs: list[Any] = []
    if out != "none" and error is None and method != "at":
        outs = [np.array(np.asarray(p)) for p in results(plain)]
        if images and out in ("wrapped", "tuple"):
            like = function(*args)
            likes = like if isinstance(like, tuple) else (like,)
            outs = [
                SpatialArray(o, k.geometry) if isinstance(k, SpatialArray) else o
                for o, k in zip(outs, likes, strict=True)
            ]
        kwargs["out"] = outs[0] if out != "tuple" and len(outs) == 1 else tuple(outs)
    before = [i.copy() for i in inputs]
    value, error = attempt(lambda: function(*args, **kwargs))
    return value, error, args, outs, before, inputs


def method_cases() -> list[Any]:
    return [pytest.param(u, m, id=f"{u.__name__}-{m}") for u in UFUNCS for m in METHODS]


@pytest.mark.slow
@pytest.mark.parametrize("ufunc, method", method_cases())
def test_matrix(ufunc: np.ufunc, method: str) -> None:
    inputs = inputs_of(ufunc)
    for out, where in itertools.product(OUTS, WHERES):
        with np.errstate(all="ignore"):
            bare = run(ufunc, method, inputs, out, where, images=False)
            ours = run(ufunc, method, inputs, out, where, images=True)
        what = f"out={out}, where={where}"
        if bare[1] is not None:
            assert ours[1] is not None, f"{what}: NumPy refuses it with {bare[0]!r}"
            # Some NumPy refuses by itself; of the others the error is one that says why.
            assert ours[1] is bare[1] or issubclass(ours[1], TypeError | ValueError), what
            for a, b in zip(ours[4], ours[5], strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{what}: changed by a refused call")
            continue
        assert ours[1] is None, f"{what}: {ours[0]!r}"
        if method == "at":
            np.testing.assert_array_equal(ours[2][0].data, bare[2][0], err_msg=what)
            continue
        for b, o in zip(results(bare[0]), results(ours[0]), strict=True):
            assert np.asarray(o).dtype == np.asarray(b).dtype, what
            if out == "none" and where != "none" and method != "reduce":
                # What is not computed is whatever memory held.
                mask = np.broadcast_to(MASK[tuple(map(slice, inputs[0].shape))], np.shape(b))
                b, o = np.asarray(b)[mask], np.asarray(o)[mask]
            np.testing.assert_array_equal(o, b, err_msg=what)
        if ours[3]:
            given = ours[0] if isinstance(ours[0], tuple) else (ours[0],)
            assert all(g is o for g, o in zip(given, ours[3], strict=True)), what
        else:
            for o in ours[0] if isinstance(ours[0], tuple) else (ours[0],):
                if np.ndim(o):
                    assert isinstance(o, SpatialArray), what
                    assert o.geometry.shape == o.data.shape, what
                    if method in ("__call__", "accumulate") and ufunc.signature is None:
                        assert o.geometry == GEOMETRY, what


TWO = [u for u in UFUNCS if u.nin == 2 and u.nout == 1 and u.signature is None]


@pytest.mark.parametrize("ufunc", TWO, ids=lambda u: u.__name__)
def test_images_on_other_grids_are_refused_and_nothing_is_written(ufunc: np.ufunc) -> None:
    a, b = inputs_of(ufunc)
    if np.shape(b) != SHAPE:
        pytest.skip("takes no second array of this shape")
    here, there = SpatialArray(a, GEOMETRY), SpatialArray(b, ELSEWHERE)
    target = np.zeros(SHAPE, np.asarray(attempt(lambda: ufunc(a, b))[0]).dtype)
    kept = target.copy(), a.copy(), b.copy()
    mask = SpatialArray(MASK, ELSEWHERE)
    for call in (
        lambda: ufunc(here, there),
        lambda: ufunc(here, there, out=target),
        lambda: ufunc(here, b, out=SpatialArray(target, ELSEWHERE)),
        lambda: ufunc(here, b, where=mask),
        lambda: ufunc(a, there, out=(SpatialArray(target, GEOMETRY),)),
        lambda: ufunc.at(here, (slice(None),), there),
    ):
        with np.errstate(all="ignore"), pytest.raises(GeometryMismatchError, match="origin"):
            call()
    for array, old in zip((target, a, b), kept, strict=True):
        np.testing.assert_array_equal(array, old)


def test_masked_reductions_check_the_grid() -> None:
    image, mask = SpatialArray(_FLOATS, GEOMETRY), SpatialArray(MASK, ELSEWHERE)
    with pytest.raises(GeometryMismatchError):
        np.add.reduce(image, where=mask)


def test_reduce_takes_the_axis_out_and_keepdims_keeps_it_thick() -> None:
    image = SpatialArray(_FLOATS, GEOMETRY)
    assert np.add.reduce(image, axis=0).geometry == GEOMETRY.reduce(0)
    assert np.add.reduce(image, 1, keepdims=True).geometry == GEOMETRY.reduce(1, keepdims=True)
    assert np.maximum.reduce(image, axis=(0, 1)) == _FLOATS.max()


def test_reduceat_and_outer_lose_what_they_cannot_keep() -> None:
    image = SpatialArray(_FLOATS, GEOMETRY)
    assert np.add.reduceat(image, [0, 2], axis=1).lost == {1: "add.reduceat"}
    assert np.multiply.outer(image, [1.0, 2.0]).geometry.sampled_axes == (0, 1)
    assert np.multiply.outer([1.0, 2.0], image).geometry.sampled_axes == (1, 2)
    assert np.multiply.outer(image, image).lost == {2: "multiply.outer", 3: "multiply.outer"}


def test_reductions_over_a_list_of_outs_and_types() -> None:
    image = SpatialArray(_FLOATS, GEOMETRY)
    whole, part = np.empty(SHAPE), SpatialArray(np.empty(SHAPE), GEOMETRY)
    first, second = np.modf(image, out=(whole, part))
    assert first is whole
    assert second is part
    np.testing.assert_array_equal(part.data, np.modf(_FLOATS)[1])
    fractions, exponents = np.frexp(image, out=(None, None))
    assert fractions.geometry == exponents.geometry == GEOMETRY


@pytest.mark.parametrize("kind", ["c16", "O", "m8[s]", "M8[D]", "U3", "i4,f8"])
def test_other_kinds_of_values_behave_as_bare_or_are_refused_as_bare(kind: str) -> None:
    data = np.zeros(SHAPE, kind)
    image = SpatialArray(data, GEOMETRY)
    for function in (np.add, np.equal, np.negative, np.absolute, np.isnat, np.maximum):
        bare, refused = attempt(lambda f=function: f(*[data] * f.nin))
        ours, error = attempt(lambda f=function: f(*[image] * f.nin))
        assert (refused is None) == (error is None), f"{function.__name__}: {bare!r}, {ours!r}"
        if refused is None:
            np.testing.assert_array_equal(ours.data, bare)
            assert ours.geometry == GEOMETRY
        else:
            assert issubclass(error or int, TypeError)


def test_matmul_and_its_like_keep_what_comes_from_one_image() -> None:
    stack = SpatialArray(np.arange(24.0).reshape(2, 3, 4), spacing=(3, 2, 1))
    weights = np.arange(8.0).reshape(4, 2)
    assert (stack @ weights).geometry.sampled_axes == (0, 1)
    assert (stack @ weights).lost == {2: "matmul"}
    assert (weights.T @ stack[0].T).geometry.sampled_axes == (1,)
    assert np.matmul(stack, weights, axes=[(-2, -1), (0, 1), (2, 1)]).lost == {1: "matmul"}
    assert np.vecdot(stack, weights[:, 0]).geometry == stack.geometry.reduce(2)
    assert np.vecdot(stack, stack, axis=0).geometry == stack.geometry.reduce(0)


def test_lazy_data_stay_lazy() -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = SpatialArray(da.from_array(_FLOATS, chunks=2), GEOMETRY)
    with assert_lazy():
        results = [
            image + 1,
            np.sqrt(image),
            np.add.reduce(image, axis=0),
            np.add.accumulate(image, axis=1),
            np.multiply.outer(image, image),
        ]
    assert all(isinstance(r.data, da.Array) for r in results)
