"""What stands above images, what they hold, and their copies."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray
from spatial_duck.errors import GeometryMismatchError
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._device import DeviceArray

V = np.random.default_rng(2).uniform(1, 9, (4, 3, 5))


def image(data: Any = V, **options: Any) -> SpatialArray:
    options = {"spacing": (3, 2, 0.5), "origin": (1, 2, 3), "attrs": {"subject": 4}} | options
    return SpatialArray(data, **options)


def _dask(values: Any) -> Any:
    return pytest.importorskip("dask.array", reason="needs dask").from_array(values, chunks=2)


HELD = {
    "numpy": lambda v: v,
    "dask": _dask,
    "device": DeviceArray,
    "dask over device": lambda v: _dask(v).map_blocks(DeviceArray, meta=DeviceArray(v[:0, :0, :0])),
    "array_api_strict": lambda v: pytest.importorskip(
        "array_api_strict", reason="needs array_api_strict"
    ).asarray(v),
}  # fmt: skip


# --- under xarray ---------------------------------------------------------------------------


@pytest.fixture(params=["numpy", "dask"])
def array(request: pytest.FixtureRequest) -> Any:
    """A DataArray of an image."""
    xr = pytest.importorskip("xarray", reason="needs xarray")
    return xr.DataArray(image(HELD[request.param](V)), dims=("z", "y", "x"))


#: What xarray does by NumPy's functions or the array API, and where the image then lies.
KEPT = {
    "arithmetic": (lambda a: a + 1, lambda i: i),
    "two": (lambda a: a * a, lambda i: i),
    "unary": (lambda a: -a, lambda i: i),
    "comparison": (lambda a: a > 3, lambda i: i),
    "ufunc": (np.sin, lambda i: i),
    "abs": (abs, lambda i: i),
    "isel": (lambda a: a.isel(z=slice(1, None), x=slice(None, None, -2)), lambda i: i[1:, :, ::-2]),
    "isel one": (lambda a: a.isel(y=1), lambda i: i[:, 1]),
    "getitem": (lambda a: a[1:, 0], lambda i: i[1:, 0]),
    "head": (lambda a: a.head(z=2), lambda i: i[:2]),
    "sum": (lambda a: a.sum("z"), lambda i: i.sum(0)),
    "mean": (lambda a: a.mean(("y", "x")), lambda i: i.mean((1, 2))),
    "std": (lambda a: a.std("x"), lambda i: i.std(2)),
    "max": (lambda a: a.max("y"), lambda i: i.max(1)),
    "prod": (lambda a: a.prod("y"), lambda i: i.prod(1)),
    "median": (lambda a: a.median("x"), lambda i: np.median(i, axis=2)),
    "count": (lambda a: a.count("x"), lambda i: i.sum(2)),
    "argmax": (lambda a: a.argmax("x"), lambda i: i.argmax(2)),
    "all": (lambda a: (a > 0).all("x"), lambda i: i.sum(2)),
    "cumsum": (lambda a: a.cumsum("z"), lambda i: i),
    "transpose": (lambda a: a.transpose("x", "z", "y"), lambda i: i.transpose(2, 0, 1)),
    "T": (lambda a: a.T, lambda i: i.T),
    "squeeze": (lambda a: a[:1].squeeze("z"), lambda i: i[0]),
    "expand_dims": (lambda a: a.expand_dims("c"), lambda i: i[None]),
    "clip": (lambda a: a.clip(2, 4), lambda i: i),
    "round": (lambda a: a.round(), lambda i: i),
    "astype": (lambda a: a.astype("f4"), lambda i: i),
    "copy": (lambda a: a.copy(), lambda i: i),
    "isnull": (lambda a: a.isnull(), lambda i: i),
    "fillna": (lambda a: a.fillna(0), lambda i: i),
    "where": (lambda a: a.where(a > 3), lambda i: i),
    "where other": (lambda a: a.where(a > 3, 0), lambda i: i),
    "pad": (lambda a: a.pad(z=(2, 1)), lambda i: np.pad(i, ((2, 1), (0, 0), (0, 0)))),
    "to_dataset": (lambda a: a.to_dataset(name="v")["v"], lambda i: i),
    "real": (lambda a: a.real, lambda i: i),
}


@pytest.mark.parametrize("name", KEPT)
def test_xarray_keeps_images(array: Any, name: str) -> None:
    call, place = KEPT[name]
    with assert_lazy():
        found = call(array)
    assert isinstance(found.variable._data, SpatialArray), type(found.variable._data)
    assert type(found.data.data) is type(array.data.data), "what the image holds became another"
    assert found.data.geometry == place(image()).geometry
    plain = array.copy(data=V)
    np.testing.assert_allclose(np.asarray(found.data.compute().data), call(plain).values)


def test_xarray_joins_images(array: Any) -> None:
    xr = pytest.importorskip("xarray", reason="needs xarray")
    found = xr.concat([array[:1], array[1:]], "z")
    assert isinstance(found.data, SpatialArray)
    assert found.data.geometry == image().geometry
    stacked = xr.concat([array, array], "c")
    assert stacked.data.dims == (None, "z", "y", "x")


#: Made by xarray of pieces that do not lie where they are put.
MISPLACED = [
    lambda a, xr: xr.concat([a[1:], a[:1]], "z"),
    lambda a, xr: a.roll(z=1),
    lambda a, xr: a.diff("z"),
    lambda a, xr: a[1:] + a[:-1],
    lambda a, xr: a.groupby("z").sum(),
]


@pytest.mark.parametrize("call", MISPLACED)
def test_xarray_is_told_what_does_not_fit(array: Any, call: Any) -> None:
    xr = pytest.importorskip("xarray", reason="needs xarray")
    with pytest.raises(GeometryMismatchError):
        call(array.assign_coords(z=("z", [0, 0, 1, 1])).drop_indexes("z"), xr)


def test_xarray_computes_images(array: Any) -> None:
    for found in (array.compute(), array.copy().load()):
        assert isinstance(found.data, SpatialArray)
        assert type(found.data.data) is np.ndarray
        assert found.data.geometry == image().geometry


def test_xarray_sees_chunks_and_makes_datasets(array: Any) -> None:
    xr = pytest.importorskip("xarray", reason="needs xarray")
    if hasattr(array.data, "chunks"):
        assert array.chunks == array.data.chunks
        assert array.chunk(x=2).data.chunks[2] == (2, 2, 1)
    both = xr.Dataset({"a": array, "b": array > 3})
    found = both.isel(z=slice(2)).mean("x")
    for name in "ab":
        assert isinstance(found[name].data, SpatialArray)
        assert found[name].data.geometry == image()[:2].mean(2).geometry


def test_xarray_shows_images_and_their_operators_give_way(array: Any) -> None:
    assert "DataArray" in repr(array)
    assert "SpatialArray" in repr(array)
    for found in (array.data + array, np.add(array.data, array), array.data < array):
        assert type(found) is type(array)
        assert isinstance(found.data, SpatialArray)


def test_groups_and_windows() -> None:
    xr = pytest.importorskip("xarray", reason="needs xarray")
    array = xr.DataArray(image(), dims=("z", "y", "x"), coords={"z": [0, 0, 1, 1]})
    plain = xr.DataArray(V, dims=("z", "y", "x"), coords={"z": [0, 0, 1, 1]})
    for call in (
        lambda a: a.rolling(x=3).construct("w"),
        lambda a: a.coarsen(z=2).max(),
        lambda a: a.stack(p=("y", "x")),
        lambda a: a.isel(z=[0, 2]),
        lambda a: a.sortby("z", ascending=False),
        lambda a: a.dot(a, "x"),
        lambda a: a.shift(z=1),
    ):
        found = call(array)
        np.testing.assert_allclose(np.asarray(found.data), call(plain).data)
        if isinstance(found.data, SpatialArray):
            assert found.data.shape == found.shape


# --- under other wrappers -------------------------------------------------------------------


class Uncertain:
    """Values with errors, as uncertainty libraries have them: holds an image and stands above."""

    __array_priority__ = 1000

    def __init__(self, value: Any, error: Any) -> None:
        self.value, self.error = value, error

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if ufunc not in (np.add, np.multiply) or method != "__call__":
            return NotImplemented
        values = [i.value if isinstance(i, Uncertain) else i for i in inputs]
        return Uncertain(ufunc(*values), self.error)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        values = [a.value if isinstance(a, Uncertain) else a for a in args]
        return Uncertain(func(*values, **kwargs), self.error)

    def __add__(self, other: Any) -> Any:
        return np.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return np.add(other, self)


class Silent:
    """Takes no part in ufuncs, and has operators of its own."""

    __array_ufunc__ = None

    def __radd__(self, other: Any) -> str:
        return "mine"

    def __rmul__(self, other: Any) -> str:
        return "mine"


def test_wrappers_above_are_left_their_turn() -> None:
    a = image()
    above = Uncertain(a, 0.1)
    for found in (a + above, above + a, np.add(a, above), np.multiply(above, a)):
        assert type(found) is Uncertain
        assert isinstance(found.value, SpatialArray)
        assert found.value.geometry == a.geometry
    assert np.flip(above).value.geometry == np.flip(a).geometry
    assert type(np.where(a > 3, a, above)) is Uncertain
    assert a + Silent() == "mine"
    assert a * Silent() == "mine"
    with pytest.raises(TypeError):
        np.add(a, Silent())
    with pytest.raises(TypeError):
        a - Silent()
    with pytest.raises(TypeError, match="array of"):
        SpatialArray(above)
    assert a.__array_ufunc__(np.add, "__call__", a, above) is NotImplemented
    assert a.__array_function__(np.where, (SpatialArray, Uncertain), (), {}) is NotImplemented


@pytest.mark.slow
def test_pint_stands_above() -> None:
    pint = pytest.importorskip("pint", reason="needs pint")
    a = image()
    unit = pint.UnitRegistry().mm
    held = pint.Quantity(V, unit)
    assert a.__array_ufunc__(np.add, "__call__", a, held) is NotImplemented
    assert a.__array_function__(np.where, (SpatialArray, type(held)), (), {}) is NotImplemented
    with pytest.raises(TypeError, match="array of"):
        SpatialArray(held)
    try:
        wrapped = pint.Quantity(a, unit)
    except TypeError:
        return  # this pint holds no arrays that it has not heard of
    if isinstance(wrapped.magnitude, SpatialArray):
        assert (wrapped + wrapped).magnitude.geometry == a.geometry


# --- what images hold -----------------------------------------------------------------------


def test_dask_over_a_device_keeps_its_layers() -> None:
    a = image(HELD["dask over device"](V))
    assert isinstance(a.data._meta, DeviceArray)
    before = DeviceArray.copies
    with assert_lazy():
        b = np.flip((a + 1)[1:], 0).sum(axis=1)
        assert isinstance(b.data._meta, DeviceArray)
    c = b.compute()
    assert isinstance(c.data, DeviceArray)
    assert DeviceArray.copies == before, "copied to the host"
    np.testing.assert_allclose(c.data.get(), np.flip((V + 1)[1:], 0).sum(axis=1))
    assert c.geometry == np.flip((image() + 1)[1:], 0).sum(axis=1).geometry


# --- copies ---------------------------------------------------------------------------------


def same(found: Any, expected: SpatialArray) -> None:
    assert type(found) is type(expected)
    assert type(found.data) is type(expected.data)
    assert found.geometry == expected.geometry
    assert found.lost == expected.lost
    assert found.attrs == expected.attrs


@pytest.mark.parametrize("held", HELD)
def test_copies_keep_everything(held: str) -> None:
    a = image(HELD[held](V), frame=None)
    a = a[1:, ::-1]
    for found in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        same(found, a)
        assert found.attrs is not a.attrs
    a.attrs["list"] = [1]
    assert copy.deepcopy(a).attrs["list"] is not a.attrs["list"]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol(protocol: int) -> None:
    a = image()[1:]
    found = pickle.loads(pickle.dumps(a, protocol))
    same(found, a)
    np.testing.assert_array_equal(found.data, a.data)


def test_pickles_out_of_band_share_the_memory() -> None:
    a = image(V.copy())
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(a, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) == 1
    assert len(stream) < V.nbytes + 2000
    assert V.tobytes() not in stream
    found = pickle.loads(stream, buffers=buffers)
    same(found, a)
    assert np.shares_memory(found.data, a.data)


def test_copies_are_apart_and_views_are_not() -> None:
    a = image(V.copy())
    for apart in (copy.copy(a), copy.deepcopy(a), a.copy()):
        apart[0] = -1
        assert (a.data > 0).all()
    a[1:][0] = -1
    assert (a.data[1] == -1).all()


def test_geometry_is_shared_by_copies() -> None:
    a = image()
    assert copy.deepcopy(a.geometry) == a.geometry
    found = pickle.loads(pickle.dumps(a.geometry))
    assert found == a.geometry
    assert hash(found) == hash(a.geometry)
    assert not found.origin.flags.writeable


def moved(image: SpatialArray) -> Any:
    """Do some work on an image, in another thread or process."""
    out = np.flip(image[1:], 0) + 1
    return out, out.geometry, out.attrs


def test_threads() -> None:
    a = image()[:, ::-1]
    expected = moved(a)
    with ThreadPoolExecutor(4) as pool:
        # One image, whose geometry all threads are the first to ask for.
        for out, geometry, attrs in pool.map(moved, [a] * 32):
            assert geometry == expected[1]
            assert attrs == expected[2]
            np.testing.assert_array_equal(out, expected[0])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "emscripten", reason="no processes there")
def test_spawned_processes() -> None:
    a = image()[:, ::-1]
    expected = moved(a)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        out, geometry, attrs = pool.submit(moved, a).result()
    same(out, expected[0])
    assert geometry == expected[1]
    assert attrs == expected[2]
