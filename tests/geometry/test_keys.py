"""The reading of index keys: the new axes of advanced indices stand where NumPy puts them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._keys import (
    count_axes,
    ellipsis_position,
    is_advanced,
    normalize_key,
    parse_advanced_key,
)
from spatial_duck.testing._strategies import keys
from tests.effort import examples

A, B, AB = np.array([0, 1]), np.array([1, 0, 1]), np.array([[0], [1]])
M = np.array([True, False])

#: Keys of an array of shape (2, 3, 4, 2): arrays side by side, apart, beside ints and masks.
PLACES = [
    (A,), (slice(None), A), (A, slice(None), A), (A, A), (slice(None), A, A), (A, None, A),
    (None, A, A), (0, A), (A, 0), (0, slice(None), A), (A, slice(None), 0), (0, slice(None), A, 0),
    (A, ..., A), (A, A, A, A, ...), (A, ..., A, A, A), (..., A), (..., A, None), (None, ..., A, A),
    (AB, B), (slice(None), AB, B), (AB, slice(None), B), (M,), (M, A[:1]), (slice(None), A, ..., M),
    (np.ones((2, 3), bool),), (slice(None), np.ones((3, 4), bool)), (True,), (False,), (True, A),
    (A, True), (slice(None), True), (..., True), (True, slice(None), A), (np.int64(1), A),
    (np.array(1), slice(None), np.array(2)), (np.array(1), slice(None), A), ([],), ([], []),
    ([True, False],), ([0, 1], slice(1, 3)), (A, ..., 0), (0, ..., 0), (A, None, None), (None, M),
    (np.ones((2, 3, 4, 2), bool),), (A[:0],),
]  # fmt: skip


@pytest.mark.parametrize("key", PLACES, ids=str)
def test_shape_is_numpys(key):
    shape = (2, 3, 4, 2)
    g = Geometry(shape, dims=("t", "z", "y", "x"))
    assert g[key].shape == np.zeros(shape)[key].shape


@settings(max_examples=examples(200))
@given(st.lists(st.integers(0, 3), max_size=4).map(tuple), st.data())
def test_walk_agrees_with_the_indices_that_it_describes(shape, data):
    key = data.draw(keys(shape, advanced=True))
    key = tuple(normalize_key(k) for k in (key if isinstance(key, tuple) else (key,)))
    if not any(map(is_advanced, key)):
        return
    try:
        picked = [axis[key] for axis in np.indices(shape)]
    except IndexError:
        return
    advanced = parse_advanced_key(shape, key)
    assert set(advanced.indexed) == set(advanced.linear) | set(advanced.varying)
    for axis in advanced.indexed:
        block = picked[axis]
        # The index along this axis, over the new axes only.
        lead = (
            tuple(range(advanced.position)),
            tuple(range(advanced.position + len(advanced.shape), block.ndim)),
        )
        if not block.size:
            continue
        along = block[
            (0,) * len(lead[0]) + (slice(None),) * len(advanced.shape) + (0,) * len(lead[1])
        ]
        assert along.shape == advanced.shape
        if axis in advanced.linear:
            start, steps = advanced.linear[axis]
            line = np.full(advanced.shape, start)
            for d, step in enumerate(steps):
                sizes = [-1 if i == d else 1 for i in range(len(advanced.shape))]
                line = line + (step * np.arange(advanced.shape[d])).reshape(sizes)
            np.testing.assert_array_equal(along, line)
        else:
            for d, varies in enumerate(advanced.varying[axis]):
                if not varies:
                    assert not np.diff(along, axis=d).any()


@pytest.mark.parametrize(
    "key, count",
    [(None, 0), (..., 0), (slice(None), 1), (3, 1), (np.int8(3), 1), (np.zeros((2, 2), int), 1),
     (np.zeros((2, 2), bool), 2), (True, 0), (False, 0), (np.array(True), 0), ([True, False], 1),
     ([[0, 1], [1, 0]], 1)],
    ids=str,
)  # fmt: skip
def test_consumed_counts_axes(key, count):
    assert count_axes(key) == count


def test_an_ellipsis_is_found_among_arrays():
    assert ellipsis_position((A, ..., B)) == 1
    assert ellipsis_position((A, B)) == -1
    with pytest.raises(IndexError, match="single ellipsis"):
        ellipsis_position((..., A, ...))


def test_values_of_lazy_masks_are_never_looked_at():
    da = pytest.importorskip("dask.array", reason="needs dask")
    from spatial_duck.testing import assert_lazy

    g = Geometry((4, 5), (2, 3))
    with assert_lazy():
        mask = da.ones((4,), dtype=bool, chunks=2)
        masked = g[mask]
        index = g[:, da.arange(3, chunks=2)]
    assert np.isnan(masked.shape[0])
    assert masked.lost.keys() == {0}
    assert index.shape == (4, 3)
    assert index.lost.keys() == {1}
