"""Promise 6: xarray > spatial_duck > Dask > CuPy / NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spatial_duck import Geometry, SpatialArray
from spatial_duck.testing import DeviceArray, assert_lazy, assert_no_host_copy

GEOMETRY = Geometry((4, 6, 8), (2, 0.5, 1), (10, 20, 30), frame="LPS", unit="mm")
VALUES = np.arange(4 * 6 * 8.0).reshape(4, 6, 8)


def lazy(geometry: Geometry = GEOMETRY, **options: Any) -> SpatialArray:
    da = pytest.importorskip("dask.array", reason="needs dask")
    return SpatialArray(da.from_array(VALUES, chunks=3, name="values"), geometry, **options)


# --- below: Dask --------------------------------------------------------------------------


def test_it_is_a_dask_collection_when_it_holds_one():
    dask = pytest.importorskip("dask", reason="needs dask")
    assert dask.is_dask_collection(lazy())
    assert not dask.is_dask_collection(SpatialArray(VALUES, GEOMETRY))
    assert not hasattr(lazy(), "expr")  # Dask would take it for one of its own


def test_compute_persist_and_optimize_keep_the_image():
    dask = pytest.importorskip("dask", reason="needs dask")
    a = lazy(attrs={"series": 3})
    b = np.flip(a + 1, 0)
    for one, other in (dask.compute(a, b), dask.persist(a, b), dask.optimize(a, b)):
        assert isinstance(one, SpatialArray)
        assert one.geometry == GEOMETRY
        assert one.attrs == {"series": 3}
        assert other.geometry == b.geometry
        np.testing.assert_array_equal(np.asarray(other.data), np.flip(VALUES + 1, 0))
    (nested,) = dask.compute({"image": [a]})
    assert isinstance(nested["image"][0].data, np.ndarray)
    assert nested["image"][0].geometry == GEOMETRY


def test_the_token_holds_the_geometry():
    pytest.importorskip("dask", reason="needs dask")
    from dask.base import tokenize

    a = lazy()
    assert tokenize(a) == tokenize(lazy())
    for other in (
        lazy(GEOMETRY.replace(origin=(10, 20, 31))),
        lazy(GEOMETRY.replace(frame="RAS")),
        lazy(GEOMETRY.replace(unit="um")),
        lazy(GEOMETRY.replace(dims=("z", "x", "y"))),
        lazy(attrs={"a": 1}),
    ):
        assert tokenize(a) != tokenize(other)


def test_two_images_of_one_array_are_not_merged():
    dask = pytest.importorskip("dask", reason="needs dask")
    a, b = lazy(), lazy(GEOMETRY.replace(origin=(0, 0, 0)))
    one, other = dask.compute(a, b)
    assert one.origin.tolist() == [10, 20, 30]
    assert other.origin.tolist() == [0, 0, 0]


def test_dask_arrays_and_images_make_images():
    da = pytest.importorskip("dask.array", reason="needs dask")
    bare = da.from_array(VALUES, chunks=3)
    image = lazy()
    with assert_lazy():
        for result in (bare + image, image + bare, np.add(bare, image), bare[0] * image):
            assert isinstance(result, SpatialArray)
            assert isinstance(result.data, da.Array)
            assert result.geometry == GEOMETRY


def test_dask_over_a_device_keeps_its_layers():
    da = pytest.importorskip("dask.array", reason="needs dask")
    blocks = da.from_array(DeviceArray(VALUES), chunks=3, asarray=False)
    image = SpatialArray(blocks, GEOMETRY)
    with assert_no_host_copy():
        result = (np.flip(image, 1) + 1)[1:].compute()
    assert isinstance(result.data, DeviceArray)
    np.testing.assert_array_equal(result.data.get(), (np.flip(VALUES, 1) + 1)[1:])


def test_a_distributed_client_takes_images():
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    with distributed.Client(
        processes=False,
        n_workers=1,
        threads_per_worker=1,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ) as client:
        image = lazy()
        future = client.compute(image)
        assert future.result().geometry == GEOMETRY
        flipped = client.submit(np.flip, SpatialArray(VALUES, GEOMETRY)).result()
        assert flipped.geometry == GEOMETRY.flip()
        np.testing.assert_array_equal(flipped.data, np.flip(VALUES))
        assert client.persist(image).geometry == GEOMETRY
        scattered = client.scatter(SpatialArray(VALUES, GEOMETRY))
        assert scattered.result().geometry == GEOMETRY


# --- above --------------------------------------------------------------------------------


class Above:
    """An array type that stands above images, as xarray's and pint's do."""

    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> str:
        return f"above: {ufunc.__name__}"

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> str:
        return f"above: {func.__name__}"

    def __radd__(self, other: Any) -> str:
        return "above: radd"


@pytest.mark.parametrize("data", [VALUES, None], ids=["numpy", "dask"])
def test_types_above_decide(data):
    image = SpatialArray(data, GEOMETRY) if data is not None else lazy()
    assert np.add(image, Above()) == "above: add"
    assert np.concatenate([image, Above()]) == "above: concatenate"
    assert str(image + Above()).startswith("above")
    assert np.where(image > 3, image, Above()) == "above: where"


@pytest.mark.parametrize("kind", ["numpy", "dask", "device"])
def test_xarray_keeps_the_image(kind):
    xr = pytest.importorskip("xarray", reason="needs xarray")
    image = {
        "numpy": lambda: SpatialArray(VALUES, GEOMETRY),
        "dask": lazy,
        "device": lambda: SpatialArray(DeviceArray(VALUES), GEOMETRY),
    }[kind]()
    with assert_lazy(), assert_no_host_copy():
        array = xr.DataArray(image, dims=("z", "y", "x"))
        assert array.data is image
        results = {
            "isel": (array.isel(z=slice(None, None, -1), y=2), lambda x: x[::-1, 2]),
            "transpose": (array.transpose("x", "z", "y"), lambda x: x.transpose(2, 0, 1)),
            "arithmetic": (array + 1, lambda x: x + 1),
            "both ways": (array - array.data, lambda x: x - x),
            "ufunc": (np.sqrt(array), np.sqrt),
            "mean": (array.mean("y"), lambda x: x.mean(1)),
            "pad": (array.pad(x=(1, 2)), lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2)))),
            "concat": (
                xr.concat([array[:2], array[2:]], "z"), lambda x: np.concatenate([x[:2], x[2:]])
            ),
        }  # fmt: skip
        if kind != "device":  # the stand-in has no asarray that would bring xarray's 0 over
            results["where"] = (array.where(array > 3, 0.0), lambda x: np.where(x > 3, x, 0))
        for name, (result, same) in results.items():
            assert isinstance(result.data, SpatialArray), name
            assert result.data.geometry.isclose(same(image).geometry, 1e-9), name
            assert type(result.data.data) is type(image.data), name


def test_an_array_of_a_foreign_kind_is_left_to_it():
    image = SpatialArray(VALUES, GEOMETRY)
    assert image.__array_ufunc__(np.add, "__call__", image, object()) is NotImplemented
    assert (
        image.__array_function__(np.concatenate, (SpatialArray, Above), ([image, Above()],), {})
        is NotImplemented
    )
    with pytest.raises(TypeError):
        image + object()
