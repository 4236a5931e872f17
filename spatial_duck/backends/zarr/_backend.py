"""Arrays on disk: a lazy view of a Zarr array, formats 2 and 3.

Indexing, flipping and transposing a `ZarrView` compose an index map in constant time and read
nothing. Reading (``np.asarray``, `ZarrView.compute`) touches only the chunks that intersect, and
assignment writes through the same map. Every other function promotes to a Dask array whose
blocks lie on the chunks of the store. Zarr has no functions of its own.
"""

from __future__ import annotations

import math
import operator
import uuid
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from spatial_duck._config import current
from spatial_duck.backends import Backend, is_known
from spatial_duck.backends._indexmap import (
    AxisMap,
    Pointwise,
    View,
    chunk_sizes,
    compose,
    compose_arrays,
)
from spatial_duck.backends.zarr._chunks import read
from spatial_duck.backends.zarr._errors import CODEC_ERRORS, broken
from spatial_duck.backends.zarr._moves import MOVES
from spatial_duck.errors import SpatialDuckError, TooLargeError
from spatial_duck.geometry._moves import normalize_axes, normalize_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spatial_duck.backends._indexmap import Fixed, Maps, Shape

__all__ = ["BACKEND", "BlockReader", "ZarrView", "place"]


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
            return self.to_dask()[tuple([_promoted(k) for k in keys])]
        found = compose_arrays(self.shape, self.index_map, self.fixed, keys)
        return self._with(*found) if isinstance(found, View) else self._pointwise(found)

    def _pointwise(self, found: Pointwise) -> Any:
        """Index with arrays that move along several axes together."""
        walked = found.walked
        basic = self[walked.basic].to_dask()
        index: list[Any] = [slice(None)] * basic.ndim
        places = [n for n, k in enumerate(walked.basic) if k is not None]
        for axis, at in found.indices.items():
            index[places[axis] if axis < len(places) else axis] = at
        picked = basic.vindex[tuple(index)]
        block = len(walked.block)
        here, there = range(block), range(walked.place, walked.place + block)
        return np.moveaxis(picked, list(here), list(there))

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
        from spatial_duck.backends.dask._backend import from_reader

        return from_reader(BlockReader(self), self.chunks, chunks)

    def __dask_tokenize__(self) -> Any:
        # The class, not the instance, keeps this from being taken for a Dask collection.
        from dask.base import normalize_token

        return normalize_token(
            (_identity(self.array), self.shape, [tuple(m) for m in self.index_map], self.fixed)
        )

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
        from spatial_duck.backends.zarr import _write as zarr_write

        zarr_write.assign(self, key, value)

    # --- functions ------------------------------------------------------------------------

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if not all(t is ZarrView or is_known(t) for t in types):
            return NotImplemented
        if func in MOVES:
            return MOVES[func](*args, **kwargs)
        from spatial_duck.backends.dask import _backend as dask

        return dask.call(func, _promoted(args), _promoted(kwargs))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out", ())
        if not all(is_known(type(x)) for x in (*inputs, *out) if x is not None):
            return NotImplemented
        if any(isinstance(x, ZarrView) for x in out):
            from spatial_duck.backends.zarr import _write as zarr_write

            return zarr_write.ufunc_into(ufunc, method, inputs, kwargs)
        from spatial_duck.backends.dask import _backend as dask

        return dask.call_ufunc(ufunc, method, _promoted(inputs), _promoted(kwargs))

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


class BlockReader:
    """What a Dask graph holds of a view: any part of it that is taken is read at once."""

    __slots__ = ("view",)

    def __init__(self, view: ZarrView) -> None:
        self.view = view

    @property
    def shape(self) -> Shape:
        """Shape of the view."""
        return self.view.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the view."""
        return self.view.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the view's elements."""
        return self.view.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self.view.block(key)

    def __dask_tokenize__(self) -> Any:
        return self.view.__dask_tokenize__()


def _rebuild(array: Any, shape: Shape, maps: Maps, fixed: Fixed) -> ZarrView:
    view = ZarrView(array)
    return view._with(shape, maps, fixed)


def _is_lazy(key: Any) -> bool:
    return hasattr(key, "__dask_graph__") or isinstance(key, ZarrView)


def _promoted(value: Any) -> Any:
    """Replace the views in arguments by Dask arrays."""
    if isinstance(value, ZarrView):
        return value.to_dask()
    if value.__class__ in (tuple, list):
        return value.__class__([_promoted(v) for v in value])
    if value.__class__ is dict:
        return {k: _promoted(v) for k, v in value.items()}
    return value


#: Stores whose address names the data, for every process and at any time.
_ADDRESSED = frozenset({"CompleteStore", "FsspecStore", "LocalStore"})
_tagged: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def place(array: Any) -> str:
    """Return the address of an array: store and path in it."""
    return str(array.store_path)


def _identity(array: Any) -> tuple[str, ...]:
    """Name the place of an array in a way that no other array will share."""
    store = array.store_path.store
    tag = ""
    if type(store).__name__ not in _ADDRESSED:
        # The address is that of a Python object, and another may have it later.
        tag = next((t for t, s in list(_tagged.items()) if s is store), "")
        if not tag:
            tag = uuid.uuid4().hex
            _tagged[tag] = store
    return tag, place(array), str(array.metadata)


def _no_take(data: Any) -> Any:
    raise TypeError(f"to put a {type(data).__name__} in a Zarr store, use spatial_duck.write")


BACKEND = Backend(
    name="zarr",
    lazy=True,
    call=lambda func, args, kwargs: func(*args, **kwargs),
    compute=lambda data, **_: data.compute(),
    to_numpy=lambda data: data.compute(),
    take=_no_take,
    device=lambda data: data.device,
)
