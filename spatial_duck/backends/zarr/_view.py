"""Arrays on disk: a lazy view of a Zarr array, formats 2 and 3.

Indexing, flipping and transposing a `ZarrView` compose an index map in constant time and read
nothing. Reading (``np.asarray``, `ZarrView.compute`) touches only the chunks that intersect, and
assignment writes through the same map. Every other function promotes to a Dask array whose
blocks lie on the chunks of the store. Zarr has no functions of its own.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from spatial_duck._config import current
from spatial_duck.backends._keys import steps_of
from spatial_duck.backends._operations import is_dask
from spatial_duck.backends._registry import backend_of, is_known
from spatial_duck.backends.zarr._axis_sources import (
    axis_sources,
    chunk_sizes,
    fixed_positions,
    is_view,
)
from spatial_duck.backends.zarr._chunks import read, read_indexed
from spatial_duck.backends.zarr._errors import CODEC_ERRORS, check_not_closed, decode_error
from spatial_duck.backends.zarr._fork import reopen_after_fork
from spatial_duck.errors import SpatialDuckError, TooLargeError
from spatial_duck.geometry import _moves as moves
from spatial_duck.geometry._map import identity, index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spatial_duck.geometry._map import IndexMap

__all__ = ["ZarrView"]


class ZarrView(NDArrayOperatorsMixin):
    """Lazy view of a Zarr array.

    Parameters
    ----------
    array : zarr.Array
        The array on disk.

    Attributes
    ----------
    array : zarr.Array
        The array on disk.
    shape : tuple of int
        Shape of the view.
    index_map : IndexMap
        Where its elements lie in the array.

    Examples
    --------
    >>> import zarr
    >>> view = ZarrView(zarr.array(np.arange(12).reshape(3, 4)))
    >>> view[::-1, 1].shape
    (3,)
    >>> np.asarray(view[::-1, 1])
    array([9, 5, 1])
    """

    __slots__ = ("__weakref__", "array", "index_map", "shape")

    array: Any
    shape: tuple[int, ...]
    index_map: IndexMap

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = tuple(array.shape)
        self.index_map = identity(self.shape)

    def _with(self, index_map: IndexMap) -> ZarrView:
        new = object.__new__(ZarrView)
        new.array = self.array
        new.shape = index_map[0]
        new.index_map = index_map
        return new

    def here(self) -> ZarrView:
        """Return the view of an array that this process can use, which may have been forked."""
        array = reopen_after_fork(self.array)
        if array is self.array:
            return self
        return _rebuild(array, self.index_map)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.array, self.index_map)

    # --- attributes -----------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements, in the byte order of the store."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, once read."""
        return self.size * self.itemsize

    @property
    def device(self) -> str:
        """Where the data are once read: always the host."""
        return "cpu"

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the blocks along each axis that lie in one chunk of the store, or one shard."""
        return tuple(
            [
                chunk_sizes(p, n, None if p.source is None else self._edges(p.source))
                for p, n in zip(axis_sources(self.index_map), self.shape, strict=True)
            ]
        )

    def _edges(self, source: int) -> Any:
        """Return the length of the chunks (or shards) along a source axis, or their edges."""
        try:
            whole = self.array.shards or self.array.chunks
        except NotImplementedError:  # a grid of chunks of different sizes
            return np.cumsum([0, *self.array.write_chunk_sizes[source]])
        return max(int(whole[source]), 1)

    @property
    def T(self) -> ZarrView:
        """The view with its axes reversed."""
        return self._with(moves.transpose(self.index_map))

    @property
    def mT(self) -> ZarrView:
        """The view with its last two axes swapped."""
        if self.ndim < 2:
            raise ValueError("matrix transpose with ndim < 2 is undefined")
        return self.swapaxes(-1, -2)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[ZarrView]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        return f"<ZarrView shape={self.shape} dtype={self.dtype} of {self.array.store_path}>"

    # --- Views, which read nothing --------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        """Return a view of part of this one, or a Dask array where no view can hold the key.

        Parameters
        ----------
        key : int, slice, None, Ellipsis, array of int or bool, or a tuple of these
            Any key that NumPy takes, with NumPy's meaning.

        Returns
        -------
        ZarrView or dask.array.Array
            A Dask array if several arrays in the key select points together, or if one of them is
            lazy. Nothing is read in either case.
        """
        keys = key if key.__class__ is tuple else (key,)
        if any([k.__class__ is not slice and _is_lazy(k) for k in keys]):
            return self._chunked_index(keys)
        index_map = index(self.index_map, keys)
        return self._with(index_map) if is_view(index_map) else self._chunked_index(keys)

    def _chunked_index(self, keys: tuple[Any, ...]) -> Any:
        """Index with arrays that are lazy, or with several arrays that select points together."""
        from spatial_duck.backends.dask import _calls

        keys = tuple([k.to_dask() if isinstance(k, ZarrView) else k for k in keys])
        steps = steps_of(self.shape, keys)
        return _calls.by_steps(self[steps.cut].to_dask(), steps._replace(cut=()))

    def transpose(self, *axes: Any) -> ZarrView:
        """Return the view with its axes permuted; with no argument, reversed."""
        if len(axes) == 1 and (axes[0] is None or hasattr(axes[0], "__len__")):
            axes = axes[0]
        if not axes and (axes is None or self.ndim):
            return self.T
        return self._with(moves.transpose(self.index_map, axes))

    def swapaxes(self, axis1: int, axis2: int) -> ZarrView:
        """Return the view with two axes exchanged."""
        return self._with(moves.swapaxes(self.index_map, axis1, axis2))

    def squeeze(self, axis: Any = None) -> ZarrView:
        """Return the view without axes of length 1."""
        return self._with(moves.squeeze(self.index_map, axis))

    # --- Reading --------------------------------------------------------------------------

    def _selection(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the selection of the store that holds the view, and a key that applies flips.

        Zarr reads with positive steps only. The key is applied to the values that were read, once
        their axes are in the view's order.
        """
        selection: list[Any] = [None] * self.array.ndim
        flips: list[Any] = []
        for source, position in fixed_positions(self.index_map):
            selection[source] = position
        for axis, n in zip(axis_sources(self.index_map), self.shape, strict=True):
            if axis.source is None:
                flips.append(None)
            elif axis.index is not None:
                selection[axis.source] = axis.index
                flips.append(slice(None))
            else:
                first, last = sorted((axis.offset, axis.offset + axis.step * (n - 1)))
                selection[axis.source] = slice(first, last + 1, abs(axis.step))
                flips.append(slice(None, None, -1 if axis.step < 0 else 1))
        return tuple(selection), tuple(flips)

    def _order(self) -> list[int]:
        """Return, for each axis of the view that has a source, its rank among the sources."""
        sources = [p.source for p in axis_sources(self.index_map) if p.source is not None]
        rank = {s: i for i, s in enumerate(sorted(sources))}
        return [rank[s] for s in sources]

    def compute(self) -> NDArray[Any]:
        """Read the view into memory, whatever its size; only the chunks that intersect.

        Returns
        -------
        ndarray
        """
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        check_not_closed(self.array)
        selection, flips = self._selection()
        indexed = any(isinstance(a, np.ndarray) for a in selection)
        array = self.here().array
        try:
            values = np.asarray((read_indexed if indexed else read)(array, selection), self.dtype)
        except SpatialDuckError:
            raise
        except CODEC_ERRORS as error:
            raise decode_error(array, selection, error) from error
        values = np.asarray(values.transpose(self._order())[(*flips, ...)])
        return values if values.shape == self.shape else np.broadcast_to(values, self.shape).copy()

    def block(self, slices: Any) -> NDArray[Any]:
        """Read part of the view: ``view[slices].compute()``."""
        found = self[slices].compute()
        return np.asarray(found)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array on disk must be read: np.asarray(view) copies it to memory")
        self._check_size("np.asarray would read")
        data = self.compute()
        return data if dtype is None else data.astype(dtype, copy=False)

    def _check_size(self, what: str) -> None:
        limit = current().max_read_bytes
        if self.nbytes > limit:
            raise TooLargeError(
                f"{what} {self.nbytes:,} bytes of {self.array.store_path} "
                f"(shape {self.shape}, {self.dtype}) into memory at once; the limit is "
                f"{limit:,.0f}. Slice it first, work on chunks with .chunk(), read it on purpose "
                "with .compute(), or raise config(max_read_bytes=...)"
            )

    def to_dask(self, chunks: Any = None) -> Any:
        """Return a Dask array of the view.

        Parameters
        ----------
        chunks : optional
            As for Dask. By default a block for each chunk of the store, or shard, so that each
            block reads, or is written to, its own.

        Returns
        -------
        dask.array.Array
            Its name depends only on the array in the store and on the view.
        """
        return backend_of(self).to_dask(self, chunks)

    def __dask_tokenize__(self) -> Any:
        return ("ZarrView", backend_of(self).identity(self))

    # --- writing --------------------------------------------------------------------------

    @property
    def read_only(self) -> bool:
        """Whether assignment is refused."""
        return bool(self.array.read_only)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write to the store, exactly where ``array[key] = value`` would.

        The value is brought to shape and type before anything is written. A Dask array larger
        than ``config(max_read_bytes=...)`` is written block by block.
        """
        backend_of(self).assign(self, key, value)

    # --- functions ------------------------------------------------------------------------

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if not all(t is ZarrView or is_known(t) for t in types):
            return NotImplemented
        return backend_of(self).call(func, args, kwargs)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out", ())
        if not all(is_known(type(x)) for x in (*inputs, *out) if x is not None):
            return NotImplemented
        run = ufunc if method == "__call__" else getattr(ufunc, method)
        return backend_of(self).call(run, inputs, kwargs)

    def astype(self, dtype: Any, **kwargs: Any) -> Any:
        """Return a Dask array of another type."""
        return self.to_dask().astype(dtype, **kwargs)

    def copy(self) -> Any:
        """Return a Dask array: writing to it does not reach the store."""
        return self.to_dask()

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """Return a Dask array of another shape."""
        return self.to_dask().reshape(*shape, **kwargs)

    def __bool__(self) -> bool:
        return bool(np.asarray(self))

    def __int__(self) -> int:
        return int(np.asarray(self))

    def __float__(self) -> float:
        return float(np.asarray(self))

    def __complex__(self) -> complex:
        return complex(np.asarray(self))

    def __index__(self) -> int:
        return operator.index(np.asarray(self)[()])


def _rebuild(array: Any, index_map: IndexMap) -> ZarrView:
    return ZarrView(array)._with(index_map)


def _is_lazy(key: Any) -> bool:
    return is_dask(key) or isinstance(key, ZarrView)
