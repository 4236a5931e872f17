"""Dask arrays whose chunks are images: what Dask's own functions make of them lies where it says.

`dask.array.from_array` of an image in memory, and so xarray's `chunk`, hands pieces of the image
to Dask, whose functions put them together by steps of their own.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spatial_duck import SpatialArray
from spatial_duck.errors import SpatialDuckError

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("dask", reason="needs dask")
da = pytest.importorskip("dask.array", reason="needs dask")

_REDUCTIONS = (
    "sum prod mean std var min max any all argmin argmax nansum nanmean nanmin nanmax nanargmin "
    "nanargmax median cumsum nancumsum cumprod"
).split()

#: ``call(module, x)``, of `numpy` on an image and of `dask.array` on chunks of it.
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    **{n: lambda m, x, n=n: getattr(m, n)(x, axis=0) for n in _REDUCTIONS},
    **{f"{n} last": lambda m, x, n=n: getattr(m, n)(x, axis=1) for n in _REDUCTIONS},
    "argmax kept": lambda m, x: m.argmax(x, axis=0, keepdims=True),
    "max of argmax": lambda m, x: m.max(m.argmax(x, axis=0), axis=0),
    "diff": lambda m, x: m.diff(x, axis=0),
    "roll": lambda m, x: m.roll(x, 2, 1),
    "flip": lambda m, x: m.flip(x, 0),
    "rot90": lambda m, x: m.rot90(x),
    "transpose": lambda m, x: m.transpose(x),
    "pad": lambda m, x: m.pad(x, 1),
    "pad edge": lambda m, x: m.pad(x, 1, mode="edge"),
    "pad wrap": lambda m, x: m.pad(x, 1, mode="wrap"),
    "reshape": lambda m, x: x.reshape(2, 2, 6),
    "ravel": lambda m, x: m.ravel(x),
    "repeat": lambda m, x: m.repeat(x, 2, axis=0),
    "tile": lambda m, x: m.tile(x, (2, 1)),
    "concatenate": lambda m, x: m.concatenate([x[:2], x[2:]]),
    "concatenate with a gap": lambda m, x: m.concatenate([x[:1], x[2:]]),
    "stack": lambda m, x: m.stack([x, x]),
    "take": lambda m, x: m.take(x, [0, 1, 3], axis=0),
    "list": lambda m, x: x[[3, 3, 3]],
    "mask": lambda m, x: x[np.array([True, False, True, False])],
    "slices": lambda m, x: x[::-1, 1::2],
    "int": lambda m, x: x[1],
    "insert": lambda m, x: m.insert(x, 1, 0, axis=0),
    "delete": lambda m, x: m.delete(x, 1, axis=0),
    "append": lambda m, x: m.append(x, x, axis=0),
    "tensordot": lambda m, x: m.tensordot(x, x, axes=((0,), (0,))),
    "einsum": lambda m, x: m.einsum("ij->j", x),
    "matmul": lambda m, x: m.matmul(x, x.T),
    "where": lambda m, x: m.where(x > 3, x, 0),
    "tril": lambda m, x: m.tril(x),
    "diagonal": lambda m, x: m.diagonal(x, 1),
    "gradient": lambda m, x: m.gradient(x, axis=0),
    "norm": lambda m, x: m.linalg.norm(x, axis=0),
    "apply_along_axis": lambda m, x: m.apply_along_axis(np.sum, 0, x),
    "isin": lambda m, x: m.isin(x, [1, 2]),
    "expand_dims": lambda m, x: m.expand_dims(x, 1),
    "swapaxes": lambda m, x: m.swapaxes(x, 0, 1),
    "fftshift": lambda m, x: m.fft.fftshift(x, axes=0),
    "unlike neighbours": lambda m, x: x[1:] - x[:-1],
}  # fmt: skip

#: Values alike in every column, whose largest lie in one row, and any others.
_VALUES = st.one_of(
    st.sampled_from([
        np.arange(24.0).reshape(4, 6), -np.arange(24.0).reshape(4, 6), np.ones((4, 6)),
        np.arange(24.0).reshape(6, 4).T,
    ]),
    arrays(float, (4, 6), elements=st.integers(0, 9).map(float)),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=3)
@given(values=_VALUES, chunks=st.tuples(st.integers(1, 4), st.integers(1, 6)))
@pytest.mark.parametrize("name", CALLS)
def test_as_numpy_has_it_or_lost_or_refused(
    name: str, values: np.ndarray, chunks: tuple[int, int]
) -> None:
    image = SpatialArray(values, spacing=(2.0, 0.5), origin=(3, 7))
    call = CALLS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = call(np, image)
        except SpatialDuckError:
            wanted = None
        try:
            found = call(da, da.from_array(image, chunks=chunks)).compute(scheduler="sync")
        except (TypeError, ValueError, NotImplementedError, IndexError, SpatialDuckError):
            return
    if wanted is None:
        assert not isinstance(found, SpatialArray) or found.lost
        return
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted))
    if isinstance(found, SpatialArray):
        assert found.lost or found.geometry.isclose(wanted.geometry)


@pytest.mark.parametrize("function", [np.argmax, np.argmin])
def test_an_index_that_is_data_has_no_place_of_its_own(function: Any) -> None:
    """Whether all columns have their largest in one row is not the geometry's to know."""
    for values in (np.arange(24.0).reshape(4, 6), np.arange(24.0).reshape(4, 6) % 5):
        image = SpatialArray(values, spacing=(2.0, 0.5), origin=(3, 7))
        picked = image[function(image, axis=0), np.arange(6)]
        np.testing.assert_array_equal(picked, values[function(values, axis=0), np.arange(6)])
        assert picked.lost
        bare = image[np.asarray(function(image, axis=0)) * 0 + 2, np.arange(6)]
        np.testing.assert_array_equal(bare.origin, [7, 7])
