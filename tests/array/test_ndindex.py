"""Any key that ndindex draws: NumPy's voxels at their places, on NumPy, Dask and Zarr.

ndindex is a library of indices alone; its own strategies draw the keys and the shapes, and its
`newshape` says what shape is right.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from spatial_duck import Geometry, SpatialArray, World
from tests.rules.oracle import check

ndindex = pytest.importorskip("ndindex", reason="needs ndindex")
helpers = pytest.importorskip("ndindex.tests.helpers", reason="needs ndindex's strategies")


def _dask(array: Any) -> Any:
    da = pytest.importorskip("dask.array", reason="needs dask")
    return da.from_array(array, chunks=tuple([n // 2 + 1 for n in array.shape]))


def _zarr(array: Any) -> Any:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    made = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=array.shape,
        chunks=tuple([n // 2 + 1 for n in array.shape]),
        dtype=array.dtype,
    )
    made[...] = array
    return made


#: How data are made, and by which errors what NumPy takes may be refused.
KINDS: dict[str, tuple[Any, tuple[type[Exception], ...]]] = {
    "numpy": (np.array, ()),
    "dask": (_dask, (TypeError, NotImplementedError)),
    "zarr": (_zarr, (TypeError, NotImplementedError)),
}
#: The words of the refusal of ``view[False]`` by a view of an array on disk.
NO_LENGTH = "selects nothing, which a view of an array on disk cannot hold: use"


def _image(values: np.ndarray, data: Any) -> SpatialArray:
    """Return an image all of whose axes run through a world of their own."""
    n = values.ndim
    geometry = Geometry(
        values.shape,
        np.arange(1.0, n + 1),
        np.arange(n) - 7.5,
        np.eye(n),
        (None,) * n,
        sampled=range(n),
        world=World([f"i{axis}" for axis in range(n)]),
    )
    return SpatialArray(data, geometry)


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(key=helpers.ndindices, shape=helpers.short_shapes)
def test_keys_of_ndindex(kind: str, key: Any, shape: tuple[int, ...]) -> None:
    assume(0 < len(shape) <= 5)
    make, refusals = KINDS[kind]
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    image = _image(values, make(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            wanted = values[key]
        except (IndexError, ValueError):
            with pytest.raises((IndexError, ValueError, *refusals)):
                np.asarray(image[key])
            return
        try:
            found = image[key]
            computed = found.compute() if isinstance(found, SpatialArray) else np.asarray(found)
        except refusals:
            return
        except IndexError as error:
            if kind == "zarr" and NO_LENGTH in str(error):
                return
            raise
    assert ndindex.ndindex(key).newshape(shape) == computed.shape == wanted.shape
    np.testing.assert_array_equal(np.asarray(computed), wanted)
    if wanted.ndim:
        geometry = computed.geometry
        assert geometry.shape == wanted.shape
        places = {
            f"i{axis}": index[key] * (axis + 1.0) + axis - 7.5
            for axis, index in enumerate(np.indices(shape))
        }
        wrong = check(geometry, places, 100.0)
        assert wrong is None, wrong
