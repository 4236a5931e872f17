"""Dask arrays answer as NumPy does where Dask itself answers otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_duck import SpatialArray, backends
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._strategies import keys

da = pytest.importorskip("dask.array", reason="needs dask")


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("step", [-1, -2, -3])
@pytest.mark.parametrize("start", [-5, -4, -2, -1, 0, 2, 9, None])
def test_slices_that_run_backwards(n, step, start):
    x = np.arange(n)
    lazy = backends.index(da.from_array(x, chunks=2), slice(start, None, step))
    np.testing.assert_array_equal(lazy, x[start::step])


@pytest.mark.slow
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple), st.data())
def test_basic_keys(shape, data):
    x = np.arange(np.prod(shape)).reshape(shape)
    key = data.draw(keys(shape))
    lazy = backends.index(da.from_array(x, chunks=2), key)
    np.testing.assert_array_equal(lazy, x[key])


EMPTY = [
    lambda x: np.repeat(x, 3, axis=1),
    lambda x: np.pad(x, 2, constant_values=7),
    lambda x: np.lib.stride_tricks.sliding_window_view(x, 1, axis=0),
    lambda x: np.sum(x, axis=1),
    lambda x: np.concatenate([x, x], axis=1),
    lambda x: np.stack([x, x]),
]


@pytest.mark.parametrize("function", EMPTY)
def test_arrays_without_voxels(function):
    x = np.zeros((3, 0), np.int16)
    with assert_lazy():
        lazy = function(SpatialArray(da.from_array(x, chunks=2))).data
        assert isinstance(lazy, da.Array)
    expected = function(x)
    assert lazy.dtype == expected.dtype
    np.testing.assert_array_equal(lazy, expected)


def test_arrays_without_voxels_become_lazy():
    x = np.zeros((1, 1, 1, 0, 1, 1, 1, 5, 2))
    assert backends.to(x, "dask").shape == x.shape
    assert np.stack([da.from_array(x, chunks=1), da.from_array(x, chunks=1)]).shape == (2, *x.shape)
