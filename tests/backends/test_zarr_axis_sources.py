"""Maps of views on disk select what NumPy selects, chain after chain."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from spatial_duck.backends.zarr._axis_sources import (
    AxisSource,
    axis_sources,
    chunk_sizes,
    fixed_positions,
    is_view,
)
from spatial_duck.geometry._map import IndexMap, identity, index
from tests.effort import examples


def look_up(view: IndexMap, source: np.ndarray) -> np.ndarray:
    """Read a view element by element, by nothing but the definition of its map."""
    found = np.empty(view.shape, source.dtype)
    for at in np.ndindex(view.shape):
        place: list[int] = [-1] * source.ndim
        for axis, i in zip(axis_sources(view), at, strict=True):
            if axis.source is not None:
                n = axis.offset + axis.step * i
                place[axis.source] = n if axis.index is None else int(axis.index[i])
        for axis, n in fixed_positions(view):
            place[axis] = n
        assert min(place, default=0) >= 0
        found[at] = source[tuple(place)]
    return found


@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_chains_of_basic_keys_select_what_numpy_selects(data: st.DataObject) -> None:
    shape = data.draw(npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6))
    source = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    view, expected = identity(shape), source
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(
            npst.basic_indices(expected.shape, max_dims=5, allow_newaxis=True, allow_ellipsis=True)
        )
        view, expected = index(view, key), np.asarray(expected[key])
        assert is_view(view)
    assert view.shape == expected.shape
    np.testing.assert_array_equal(look_up(view, source), expected)


ORTHOGONAL = [
    np.s_[[3, 1, 1]],
    np.s_[:, np.array([-1, 0])],
    np.s_[0, :, [1, 2]],
    np.s_[[1, 2], :, 0],
    np.s_[..., [True, False, True, True, False]],
    np.s_[[2], [3], [4]],
    np.s_[[]],
    np.s_[None, [1, 2], :, [[3], [4]]],
    np.s_[::-1, [0, 2], ::2],
    np.s_[np.int64(1), ..., np.uint8(2)],
    np.s_[np.True_],
    np.ix_([1, 2], [3, 0, 2], [0, -1]),
]


@pytest.mark.parametrize("key", ORTHOGONAL, ids=str)
@pytest.mark.parametrize(
    "before", [np.s_[:], np.s_[::-1, 1:, ::-1], np.s_[[5, 0, 3, 3, 1]]], ids=str
)
def test_arrays_that_each_move_along_one_axis_stay_views(key: object, before: object) -> None:
    source = np.arange(6 * 4 * 5).reshape(6, 4, 5)
    first = index(identity(source.shape), before)
    assert is_view(first)
    expected = source[before]
    try:
        expected = expected[key]
    except IndexError:
        with pytest.raises(IndexError):
            index(first, key)
        return
    view = index(first, key)
    assert is_view(view)
    assert view.shape == expected.shape
    np.testing.assert_array_equal(look_up(view, source), expected)


WRONG = [
    (np.s_[6], "out of bounds"),
    (np.s_[-7], "out of bounds"),
    (np.s_[0, 0, 0, 0], "too many indices"),
    (np.s_[..., 0, ...], "single ellipsis"),
    (np.s_[[6]], "out of bounds"),
    (np.s_[[True, False]], "boolean index"),
    (np.s_[1.5], "integer|__index__"),
    (np.s_[[0.5]], "integer"),
]


@pytest.mark.parametrize("key, message", WRONG, ids=str)
def test_a_key_that_does_not_fit_is_refused(key: object, message: str) -> None:
    with pytest.raises((IndexError, TypeError), match=message):
        index(identity((6, 4, 5)), key)


@settings(max_examples=200, deadline=None)
@given(
    offset=st.integers(0, 30),
    step=st.integers(-9, 9).filter(bool),
    n=st.integers(1, 20),
    chunk=st.integers(1, 12),
    regular=st.booleans(),
)
def test_each_block_lies_in_one_chunk_and_neighbours_do_not(
    offset: int, step: int, n: int, chunk: int, regular: bool
) -> None:
    if step < 0:
        offset -= step * n
    axis = AxisSource(0, offset, step)
    edges = chunk if regular else np.cumsum([0, 1, 2, *[chunk] * 400])
    sizes = chunk_sizes(axis, n, edges)
    assert sum(sizes) == n
    assert min(sizes) > 0
    at = axis.positions(n)
    chunks = at // chunk if regular else np.searchsorted(edges, at, side="right")
    blocks = np.split(chunks, np.cumsum(sizes)[:-1])
    assert all(len(set(b.tolist())) == 1 for b in blocks)
    assert all(a[0] != b[0] for a, b in pairwise(blocks))


def test_an_index_that_jumps_about_is_cut_into_blocks_of_a_chunk() -> None:
    index = np.tile([0, 9], 20)
    assert chunk_sizes(AxisSource(0, index=index), 40, 5) == (5,) * 8
    assert chunk_sizes(AxisSource(0, index=np.arange(10)[::-1]), 10, 4) == (2, 4, 4)


@pytest.mark.parametrize(
    "key", [np.s_[[0, 1], [1, 3]], np.s_[[[0, 1], [3, 2]]], np.s_[[[0, 1], [2, 3]]]], ids=str
)
def test_arrays_that_move_along_several_axes_are_no_view(key: object) -> None:
    assert not is_view(index(identity((6, 4, 5)), key))
