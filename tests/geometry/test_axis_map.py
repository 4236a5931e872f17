"""Where the axes of a result come from, against NumPy's own movement of the indices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_duck.geometry._axis_map import axis_sources, index_grid
from spatial_duck.testing._operations import keys


@settings(max_examples=300)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), st.data())
def test_every_key_moves_indices_as_numpy_does(shape, data):
    key = data.draw(keys(shape, advanced=True))
    try:
        picked = [axis[key] for axis in np.indices(shape)]
    except IndexError:
        return
    axes, fixed = axis_sources(index_grid(shape)[key])
    for i, source in enumerate(axes):
        n = picked[0].shape[i]
        if source is None or not picked[0].size:
            continue
        wanted = np.moveaxis(picked[source.axis], i, -1).reshape(-1, n)
        assert (wanted == source.indices(n)).all()
    for axis, at in fixed.items():
        assert (picked[axis] == at).all()
    if not any(isinstance(k, np.ndarray | list) for k in (key if type(key) is tuple else (key,))):
        kept = {source.axis for source in axes if source is not None}
        assert kept | set(fixed) == set(range(len(shape)))


@pytest.mark.parametrize(
    "move, axis, wanted",
    [
        (lambda g: g.flip(0), 0, [4, 3, 2, 1, 0]),
        (lambda g: g.transpose(), 1, [0, 1, 2, 3, 4]),
        (lambda g: g.pad(((2, 1), (0, 0))), 0, [-2, -1, 0, 1, 2, 3, 4, 5]),
        (lambda g: g.repeat(2, 0), 0, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (lambda g: g.repeat(3, 0), 0, np.repeat(range(5), 3).tolist()),
        (lambda g: g[[3, 0, 0, -1]], 0, [3, 0, 0, 4]),
        (lambda g: g[np.array([True, False, True, True, False])][::-1], 0, [3, 2, 0]),
        (lambda g: g.diff(1, 0), 0, None),
        (lambda g: g.diff(2, 0), 0, [1, 2, 3]),
        (lambda g: g.expand_dims(0)[:, 1:], 1, [1, 2, 3, 4]),
    ],
)
def test_moves_tell_where_each_index_comes_from(move, axis, wanted):
    result = move(index_grid((5, 3), ("c", None)))
    source = axis_sources(result).axes[axis]
    assert source.axis == 0
    found = source.indices(result.shape[axis])
    assert (found if found is None else found.tolist()) == wanted


def test_lost_and_new_axes_have_no_source():
    axes, fixed = axis_sources(index_grid((4, 3)).lose(0, "sort").expand_dims(0))
    assert axes[:2] == (None, None)
    assert axes[2].axis == 1
    assert fixed == {}
