"""Unusual arguments of NumPy's functions on each library: NumPy's answer, or an error that says so.

An argument that NumPy itself refuses is refused in the same kind of error, when the function is
called or, by libraries that compute later, at the latest then. Nothing else may be raised.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.testing import assert_geometry_equal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import BackendCase

V = np.arange(24.0).reshape(2, 3, 4)
MASK = V > 3
window = np.lib.stride_tricks.sliding_window_view

#: What may be asked of an image of 2 by 3 by 4 voxels.
EXPRESSIONS: dict[str, Callable[[Any], Any]] = {
    "ufunc, subok": lambda x: np.add(x, x, subok=False),
    "ufunc, order": lambda x: np.add(x, x, order="F"),
    "ufunc, dtype": lambda x: np.add(x, x, dtype="f4"),
    "ufunc, where alone": lambda x: np.where(MASK, np.add(x, x, where=MASK), 0),
    "ufunc, out by position": lambda x: np.add(x, x, np.multiply(x, 0)),
    "ufunc, out and where": lambda x: np.add(x, x, out=np.multiply(x, 0), where=x > 3),
    "ufunc, outer": lambda x: np.add.outer(x[0, 0], x[1, 1]),
    "ufunc, reduce with dtype": lambda x: np.maximum.reduce(x, axis=0, dtype="f4"),
    "ufunc, accumulate with dtype": lambda x: np.add.accumulate(x, axis=0, dtype="f4"),
    "ldexp": lambda x: np.ldexp(x, 2),
    "heaviside": lambda x: np.heaviside(x, 2.0),
    "divmod": lambda x: divmod(x, 2)[1],
    "divmod of a number": lambda x: divmod(7.0, x + 1)[0],
    "a key of a step back and an array": lambda x: x[::-1, [0, 1]],
    "too many indices": lambda x: x[5:, 0, 0, 0],
    "an index beyond": lambda x: x[7],
    "clip, dtype": lambda x: np.clip(x, 1, 2, dtype="f4"),
    "round, out": lambda x: np.round(x, out=np.multiply(x, 0)),
    "real_if_close": lambda x: np.real_if_close(x),
    "nan_to_num, in place": lambda x: np.nan_to_num(x, copy=False),
    "nan_to_num of ints": lambda x: np.nan_to_num(x.astype("i8")),
    "nan_to_num of complex": lambda x: np.nan_to_num(x.astype("c16")),
    "qr, raw": lambda x: np.linalg.qr(x[0], mode="raw")[0],
    "multi_dot, out": lambda x: np.linalg.multi_dot([x[0], x[0].T, x[0]], out=np.zeros((3, 4))),
    "take beyond": lambda x: np.take(x, [9], axis=0),
    "take_along_axis of all": lambda x: np.take_along_axis(x, np.array([3, 1]), None),
    "windows to write": lambda x: window(x, 2, axis=0, writeable=True).copy(),
    "windows too wide": lambda x: window(x, 9, axis=0),
    "copyto a narrower type": lambda x: np.copyto(x.astype("i8"), x),
    "array_equiv": lambda x: np.array_equiv(x, np.zeros((5, 7))),
    "digitize, falling": lambda x: np.digitize(x, np.array([5.0, 3.0, 1.0])),
    "digitize, mixed": lambda x: np.digitize(x, np.array([5.0, 8.0, 1.0])),
    "interp by name": lambda x: np.interp(x=x, xp=[2.0, 5, 7], fp=[1.0, 0, 3]),
    "histogramdd by name": lambda x: np.histogramdd(sample=x[0], bins=[[-1.0, 5, 30]] * 4)[0],
    "interp of one point": lambda x: np.interp(x, [1.0], [2.0]),
    "trapezoid, x": lambda x: np.trapezoid(x, [0, 1, 3, 4.0], axis=-1),
    "percentile of an image's": lambda x: np.percentile(x, x[0, 0]),
    "nanargmax of NaN": lambda x: np.nanargmax(x * np.nan, axis=0),
    "split in none": lambda x: np.split(x, 0),
    "split unevenly": lambda x: np.split(x, 5, axis=2),
    "vsplit of a line": lambda x: np.vsplit(x[0, 0], 2),
    "hsplit of a line": lambda x: np.hsplit(x[0, 0], 2)[1],
    "dsplit of a plane": lambda x: np.dsplit(x[0], 2),
    "repeat by none": lambda x: np.repeat(x, 0, axis=0),
    "ix_ of volumes": lambda x: np.ix_(x, x)[0],
    "diag_indices_from": lambda x: np.diag_indices_from(x)[0],
    "fft, out": lambda x: np.fft.fft(x, out=np.zeros(V.shape, complex)),
    "fftn, out": lambda x: np.fft.fftn(x, out=np.zeros(V.shape, complex)),
    "cumulative_sum of all": lambda x: np.cumulative_sum(x),
    "cumulative_sum, from 0": lambda x: np.cumulative_sum(x, axis=0, include_initial=True),
    "mT of a line": lambda x: x[0, 0].mT,
    "transpose, too few": lambda x: x.transpose(0, 1),
    "squeeze of more": lambda x: np.squeeze(x, axis=0),
    "moveaxis, unequal": lambda x: np.moveaxis(x, [0, 1], [0]),
    "fliplr of a line": lambda x: np.fliplr(x[0, 0]),
    "flipud": lambda x: np.flipud(x),
    "matrix_transpose of a line": lambda x: np.matrix_transpose(x[0, 0]),
    "dot with a number": lambda x: np.dot(x, 2.0),
    "dot of a number": lambda x: np.dot(2.0, x),
    "inner with a number": lambda x: np.inner(x, 2.0),
    "kron with a number": lambda x: np.kron(x, 2.0),
    "outer with a number": lambda x: np.outer(x[0, 0], 2.0),
    "complex": lambda x: complex(x[0, 0, :1].sum()),
    "minimum of nothing": lambda x: np.minimum.reduce(x[:0], axis=0),
}


def _values(found: Any) -> Any:
    """Return what came as NumPy's, computed where it is lazy."""
    data = getattr(found, "data", found) if isinstance(found, sd.SpatialArray) else found
    data = data.compute() if hasattr(data, "compute") else data
    return np.from_dlpack(data) if hasattr(data, "__dlpack__") else np.asarray(data)


def _outcome(expression: Callable[[Any], Any], image: sd.SpatialArray) -> Any:
    """Return what came, its values with it; or the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = expression(image)
            if isinstance(found, list):
                found = found[0]
            return found, _values(found)
        except (IndexError, TypeError, ValueError) as error:
            return error


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_argument_is_answered_as_numpy_does_or_refused(name: str, backend: BackendCase) -> None:
    expression, place = EXPRESSIONS[name], {"spacing": (3, 2, 1), "origin": (5, 6, 7)}
    expected = _outcome(expression, sd.SpatialArray(V.copy(), **place))
    found = _outcome(expression, sd.SpatialArray(backend.make(V), **place))
    if isinstance(expected, Exception):
        assert isinstance(found, Exception), f"NumPy says {expected!r}"
        kind = next(k for k in (IndexError, TypeError, ValueError) if isinstance(expected, k))
        assert isinstance(found, kind | TypeError)
    elif isinstance(found, Exception):
        assert isinstance(found, TypeError | ValueError)
        assert str(found), "an error must say what to do"
    else:
        np.testing.assert_allclose(found[1], expected[1])
        if isinstance(expected[0], sd.SpatialArray):
            assert_geometry_equal(found[0], expected[0])


#: Spellings of one argument that NumPy reads alike, and values that it brings to the array's type.
SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "reshape, int": lambda x: np.reshape(x, -1),
    "reshape, NumPy's int": lambda x: np.reshape(x, np.int64(24)),
    "reshape, list": lambda x: np.reshape(x, [6, 4]),
    "reshape, array": lambda x: np.reshape(x, np.array([6, 4])),
    "reshape, method": lambda x: x.reshape(-1),
    "broadcast_to, int": lambda x: np.broadcast_to(x[0, 0], 4),
    "broadcast_to, list": lambda x: np.broadcast_to(x, [2, 2, 3, 4]),
    "tile, int": lambda x: np.tile(x, 2),
    "tile, list": lambda x: np.tile(x, [2, 1, 1]),
    "roll, lists": lambda x: np.roll(x, [1, 2], [0, 2]),
    "roll, arrays": lambda x: np.roll(x, np.array([1, 2]), (0, 2)),
    "take, of all": lambda x: np.take(x, [5, 3]),
    "take, of all by a key": lambda x: x.take([1, 0]),
    "take, nested": lambda x: np.take(x, [[0, 1], [1, 0]], axis=1),
    "take, int": lambda x: np.take(x, 1, axis=-1),
    "delete, mask": lambda x: np.delete(x, [True, False, False], axis=1),
    "delete, of all": lambda x: np.delete(x, 3),
    "repeat, of all": lambda x: np.repeat(x, 2),
    "repeat, list": lambda x: np.repeat(x, [1, 2], axis=0),
    "repeat, list of all": lambda x: np.repeat(x[0, 0], [1, 2, 0, 3]),
    "clip, keywords": lambda x: np.clip(x, min=2, max=3),
    "clip, method": lambda x: x.clip(2.0),
    "clip, method by name": lambda x: x.clip(max=3.0),
    "where, alone": lambda x: np.where(x > 3)[1],
    "append, number": lambda x: np.append(x, 7.0),
    "diff, prepend": lambda x: np.diff(x, axis=0, prepend=0.0),
    "diff, append": lambda x: np.diff(x, axis=1, append=np.ones((2, 1, 4))),
    "cross, list": lambda x: np.cross(x[..., :3], [1.0, 0.0, 0.0]),
}
#: The array API has no numpy.insert, and no order but C's.
SPELLINGS_OF_DASK: dict[str, Callable[[Any], Any]] = {
    "reshape, Fortran": lambda x: np.reshape(x, (6, 4), order="F"),
    "take, wrapped": lambda x: np.take(x, [5, -7], axis=1, mode="wrap"),
    "take, clipped": lambda x: np.take(x, [5, -7], axis=1, mode="clip"),
    "insert, of all": lambda x: np.insert(x, 1, 7),
    "insert, list": lambda x: np.insert(x, 1, [1, 2, 3, 4], axis=1),
    "insert, plane": lambda x: np.insert(x, 1, np.ones((3, 4)), axis=0),
    "insert, several": lambda x: np.insert(x, [0, 2], np.ones((2, 2, 4)), axis=1),
    "insert, narrower": lambda x: np.insert(x.astype("i2"), 0, 7.5, axis=0),
    "insert, narrower list": lambda x: np.insert(x.astype("i2"), [0, 1], [7.5, 1.5, 2, 3], axis=0),
}
BY_DASK = ("dask", "zarr2", "zarr3")


@pytest.mark.parametrize("name", [*SPELLINGS, *SPELLINGS_OF_DASK])
def test_all_spellings_of_an_argument_are_answered(name: str, backend: BackendCase) -> None:
    if name in SPELLINGS_OF_DASK and backend.kind.name.lower() not in BY_DASK:
        pytest.skip("NumPy's own, or refused by name")
    expression = (SPELLINGS | SPELLINGS_OF_DASK)[name]
    place = {"spacing": (3, 2, 1), "origin": (5, 6, 7)}
    expected = expression(sd.SpatialArray(V.copy(), **place))
    found = expression(sd.SpatialArray(backend.make(V), **place))
    values = _values(found)
    assert values.dtype == expected.dtype
    np.testing.assert_array_equal(values, expected.data)
    assert_geometry_equal(found, expected)


#: Keys of an assignment, and whether Dask takes them.
ASSIGNED: dict[str, tuple[Any, bool]] = {
    "mask": (MASK, True),
    "mask in a tuple": ((MASK,), True),
    "mask of two axes": (MASK[:, :, 0], True),
    "mask of one axis": (np.array([True, False]), True),
    "list": ((slice(None), [2, 0]), True),
    "backwards": (np.s_[::-1, 0], True),
    "two lists": (([0, 1], [2, 0]), False),
    "ix_": (np.ix_([0, 1], [2, 0]), False),
    "new axis": ((None, 0), False),
    "nested": ([[0, 1], [1, 0]], False),
    "mask beside an int": ((0, MASK[0]), False),
}


@pytest.mark.parametrize("name", ASSIGNED)
def test_what_is_assigned_is_numpys_or_refused(name: str) -> None:
    key, taken = ASSIGNED[name]
    da = pytest.importorskip("dask.array", reason="needs dask")
    expected = V.astype("i2")
    image = sd.SpatialArray(da.from_array(expected.copy(), chunks=(1, 2, 3)), spacing=(3, 2, 1))
    if not taken:
        with pytest.raises(TypeError, match=r"np\.where"):
            image[key] = 2.7
        return
    expected[key] = image[key] = 2.7
    np.testing.assert_array_equal(np.asarray(image), expected)
    assert image.dtype == expected.dtype


@pytest.mark.parametrize("value", [70000, np.nan])
def test_a_mask_assigns_no_value_that_the_type_does_not_hold(value: float) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = sd.SpatialArray(da.from_array(V.astype("i2"), chunks=2), spacing=(3, 2, 1))
    with pytest.raises((ValueError, OverflowError)):
        image[MASK] = value


def test_a_mask_of_another_shape_is_refused() -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = sd.SpatialArray(da.from_array(V, chunks=2), spacing=(3, 2, 1))
    with pytest.raises(IndexError, match=r"\(2, 3\)"):
        image[MASK[:, :1, 0]] = 1


@pytest.mark.parametrize(
    "module, positional",
    [("dask._functions", 0), ("arrayapi._tools", 1)],
    ids=["dask", "arrayapi"],
)
def test_parameters_have_the_names_that_numpy_gives_them(module: str, positional: int) -> None:
    """Of functions that are written for a library; those that are computed with are found."""
    pytest.importorskip("array_api_compat", reason="needs array_api_compat")
    pytest.importorskip("dask", reason="needs dask")
    importlib.import_module("spatial_duck.backends.arrayapi._backend")
    functions = importlib.import_module(f"spatial_duck.backends.{module}").FUNCTIONS
    checked = 0
    for function, own in functions.items():
        try:
            wanted = inspect.signature(function).parameters.values()
            names = list(inspect.signature(own).parameters.values())[positional:]
        except (TypeError, ValueError):  # ufuncs of older NumPy, functions of C
            continue
        if any(p.kind is p.VAR_POSITIONAL for p in names):
            continue
        checked += 1
        missing = {
            p.name for p in wanted if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        } - {p.name for p in names}
        assert not missing, (function, missing)
    assert checked > 40
