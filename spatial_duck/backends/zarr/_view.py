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
from spatial_duck.backends._indexmap import (
    AxisMap,
    View,
    chunk_sizes,
    compose,
    compose_arrays,
)
from spatial_duck.backends._keys import steps_of
from spatial_duck.backends._operations import is_dask
from spatial_duck.backends._registry import backend_of, is_known
from spatial_duck.backends.zarr._chunks import read
from spatial_duck.backends.zarr._errors import CODEC_ERRORS, broken
from spatial_duck.errors import SpatialDuckError, TooLargeError
from spatial_duck.geometry._numbering import normalize_axes, normalize_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spatial_duck.backends._indexmap import Fixed, Maps, Shape

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
    index_map : tuple of AxisMap
        For each axis of the view, where it lies in the array.
    fixed : tuple of (int, int)
        Source axes that integers removed, and the position on each.

    Examples
    --------
    >>> import zarr
    >>> view = ZarrView(zarr.array(np.arange(12).reshape(3, 4)))
    >>> view[::-1, 1].shape
    (3,)
    >>> np.asarray(view[::-1, 1])
    array([9, 5, 1])
    """

    __slots__ = ("__weakref__", "array", "fixed", "index_map", "shape")

    array: Any
    shape: Shape
    index_map: Maps
    fixed: Fixed

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = tuple(array.shape)
        self.index_map = tuple([AxisMap(i) for i in range(len(self.shape))])
        self.fixed = ()

    def _with(self, shape: Shape, maps: Maps, fixed: Fixed) -> ZarrView:
        new = object.__new__(ZarrView)
        new.array = self.array
        new.shape = shape
        new.index_map = maps
        new.fixed = fixed
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.array, self.shape, self.index_map, self.fixed)

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
                chunk_sizes(m, n, None if m.source is None else self._edges(m.source))
                for m, n in zip(self.index_map, self.shape, strict=True)
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
        return self._with(self.shape[::-1], self.index_map[::-1], self.fixed)

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

    # --- moves, which read nothing --------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        """Return a view of part of this one, or a Dask array where no view can hold the key.

        Parameters
        ----------
        key : int, slice, None, Ellipsis, array of int or bool, or a tuple of these
            Any key that NumPy takes, with NumPy's meaning.

        Returns
        -------
        ZarrView or dask.array.Array
            A Dask array if several arrays in the key move along the axes together, or if one of
            them is lazy. Nothing is read in either case.
        """
        keys = key if key.__class__ is tuple else (key,)
        view = compose(self.shape, self.index_map, self.fixed, keys)
        if view is not None:
            return self._with(*view)
        if any(map(_is_lazy, keys)):
            return self._chunked_index(keys)
        found = compose_arrays(self.shape, self.index_map, self.fixed, keys)
        return self._with(*found) if isinstance(found, View) else self._chunked_index(keys)

    def _chunked_index(self, keys: tuple[Any, ...]) -> Any:
        """Index by arrays that are lazy, or that move along several axes together."""
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
        order = normalize_axes(tuple(axes), self.ndim)
        if len(order) != self.ndim:
            raise ValueError("axes don't match array")
        maps, shape = self.index_map, self.shape
        return self._with(
            tuple([shape[i] for i in order]), tuple([maps[i] for i in order]), self.fixed
        )

    def swapaxes(self, axis1: int, axis2: int) -> ZarrView:
        """Return the view with two axes exchanged."""
        order = list(range(self.ndim))
        i, j = normalize_axis(axis1, self.ndim), normalize_axis(axis2, self.ndim)
        order[i], order[j] = j, i
        return self.transpose(order)

    def squeeze(self, axis: Any = None) -> ZarrView:
        """Return the view without axes of length 1."""
        if axis is None:
            axes = tuple([i for i, n in enumerate(self.shape) if n == 1])
        else:
            axes = normalize_axes(axis, self.ndim)
        if any(self.shape[i] != 1 for i in axes):
            raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
        view: ZarrView = self[tuple([0 if i in axes else slice(None) for i in range(self.ndim)])]
        return view

    # --- reading --------------------------------------------------------------------------

    def _selection(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return what to ask of the store, and the key that turns the answer round in memory.

        Zarr reads boxes in rising order only. The second key is for the answer once its axes are
        in the view's order.
        """
        ask: list[Any] = [None] * self.array.ndim
        turn: list[Any] = []
        for axis, at in self.fixed:
            ask[axis] = at
        for (source, offset, step, index), n in zip(self.index_map, self.shape, strict=True):
            if source is None:
                turn.append(None)
            elif index is not None:
                ask[source] = index[offset + step * np.arange(n, dtype=np.intp)]
                turn.append(slice(None))
            else:
                first, last = sorted((offset, offset + step * (n - 1)))
                ask[source] = slice(first, last + 1, abs(step))
                turn.append(slice(None, None, -1 if step < 0 else 1))
        return tuple(ask), tuple(turn)

    def _order(self) -> list[int]:
        """Return, for each axis of the view that has a source, its rank among the sources."""
        sources = [m.source for m in self.index_map if m.source is not None]
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
        ask, turn = self._selection()
        indexed = any(isinstance(a, np.ndarray) for a in ask)
        array = self.array
        try:
            found = np.asarray(array.oindex[ask] if indexed else read(array, ask), self.dtype)
        except SpatialDuckError:
            raise
        except CODEC_ERRORS as error:
            raise broken(array, ask, error) from error
        found = found.transpose(self._order())
        return np.asarray(found[(*turn, ...)])

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
            Its name depends only on the place in the store and on the view.
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


def _rebuild(array: Any, shape: Shape, maps: Maps, fixed: Fixed) -> ZarrView:
    view = ZarrView(array)
    return view._with(shape, maps, fixed)


def _is_lazy(key: Any) -> bool:
    return is_dask(key) or isinstance(key, ZarrView)
