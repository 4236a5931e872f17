"""Images whose data are lazy: chunks, computing, and Dask's protocol of collections.

An image on a Dask array is a Dask collection (`dask.compute`, `persist`, `tokenize`, ...) that
comes back as an image in its place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck import backends
from spatial_duck.array import _carry as carry
from spatial_duck.array._coordinates import frozen
from spatial_duck.array._state import ImageState, copy_attrs
from spatial_duck.errors import GeometryError

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = ["Collection"]


class Collection(ImageState):
    """What an image answers Dask and those who work by chunks."""

    __slots__ = ()

    def compute(self, **options: Any) -> Self:
        """Return the image with its data computed or read into memory.

        Parameters
        ----------
        **options
            Passed to `dask.compute` where the data are a Dask array.
        """
        return self._with_data(backends.compute(self._data, **options))

    def persist(self, **options: Any) -> Self:
        """Return the image with its Dask graph computed and held by the workers."""
        return self._with_data(backends.persist(self._data, **options))

    def chunk(self, chunks: Any = "auto") -> Self:
        """Return the image as a lazy one, held by a Dask array.

        Parameters
        ----------
        chunks : int, tuple, dict or "auto", optional
            Chunk sizes as Dask takes them; for a Zarr-backed image by default the store's.
            A mapping may go by the names in `dims`.
        """
        return self._with_data(backends.chunked(self._data, self._chunks_by_axis(chunks)))

    rechunk = chunk

    def to_dask_array(self, chunks: Any = "auto") -> Any:
        """Return the data as a bare Dask array: the one that the image holds, if it holds one.

        Parameters
        ----------
        chunks : optional
            For data that are in no Dask array yet; as of `chunk`.
        """
        if backends.backend_of(self._data).name == "dask":
            return self._data
        return self.chunk(chunks)._data

    @property
    def blocks(self) -> Any:
        """The chunks of lazy data as images: ``image.blocks[2, 0]``, as of a Dask array."""
        if backends.backend_of(self._data).name != "dask":
            raise TypeError(
                f"blocks needs data in a Dask array, got {type(self._data).__name__}: use "
                "image.chunk(...).blocks"
            )
        return _Blocks(self)

    def _chunks_by_axis(self, chunks: Any) -> Any:
        if not isinstance(chunks, dict):
            return chunks
        dims = self.geometry.dims
        unknown = [k for k in chunks if isinstance(k, str) and k not in dims]
        if unknown:
            raise GeometryError(f"chunks: {unknown!r} are not among dims {dims!r}")
        return {dims.index(k) if isinstance(k, str) else k: v for k, v in chunks.items()}

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Chunk lengths along each axis of data in a Dask array; other images have no chunks.

        Libraries take what has this attribute for something to compute.
        """
        if backends.backend_of(self._data).name != "dask":
            raise AttributeError(
                f"chunks needs data in a Dask array, got {type(self._data).__name__}: use "
                "image.chunk(...), or look at image.data"
            )
        return self._data.chunks  # type: ignore[no-any-return]

    # --- Dask's protocol ------------------------------------------------------------------

    def __dask_graph__(self) -> Any:
        graph = getattr(self._data, "__dask_graph__", None)
        return None if graph is None else graph()

    def __dask_keys__(self) -> Any:
        return self._data.__dask_keys__()

    def __dask_layers__(self) -> Any:
        return self._data.__dask_layers__()

    @property
    def __dask_optimize__(self) -> Any:
        return self._data.__dask_optimize__

    @property
    def __dask_scheduler__(self) -> Any:
        return self._data.__dask_scheduler__

    def __dask_postcompute__(self) -> Any:
        finish, args = self._data.__dask_postcompute__()
        return _rebuild, (finish, args, *self._without_data())

    def __dask_postpersist__(self) -> Any:
        finish, args = self._data.__dask_postpersist__()
        return _rebuild_persisted, (finish, args, *self._without_data())

    def _without_data(self) -> tuple[Any, ...]:
        """Return what another image is made of, beside its data."""
        return type(self), self.geometry, self._attrs, self._coords

    def __dask_tokenize__(self) -> Any:
        from dask.tokenize import normalize_token

        return (
            "SpatialArray",
            normalize_token(self._data),
            self.geometry.__reduce__()[1][:3],
            repr(self.geometry.world),
            normalize_token(self._attrs or {}),
            normalize_token({n: tuple(h) for n, h in (self._coords or {}).items()}),
        )


class _Blocks:
    """What `SpatialArray.blocks` is indexed by."""

    __slots__ = ("_image",)

    def __init__(self, image: Collection) -> None:
        self._image = image

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return self._image._data.numblocks  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of chunks."""
        return math.prod(self.shape)

    def __getitem__(self, key: Any) -> Collection:
        image = self._image
        geometry, voxels = image.geometry, []
        keys = key if isinstance(key, tuple) else (key,)
        keys = keys if Ellipsis in keys else (*keys, Ellipsis)
        i = keys.index(Ellipsis)
        keys = (*keys[:i], *[slice(None)] * (geometry.ndim + 1 - len(keys)), *keys[i + 1 :])
        for axis, (k, lengths) in enumerate(zip(keys, image._data.chunks, strict=True)):
            ends = np.cumsum(lengths)
            chosen = np.atleast_1d(np.arange(len(lengths))[k])
            along = [np.arange(ends[n] - lengths[n], ends[n]) for n in chosen]
            whole: Any = np.concatenate([np.arange(0), *along])
            if len(whole) and (np.diff(whole) == 1).all():
                whole = slice(whole[0], whole[-1] + 1)
            voxels.append((slice(None),) * axis + (whole,))
            geometry = geometry[voxels[-1]]
        data = image._data
        if hasattr(data, "blocks"):
            data = data.blocks[key]
        else:  # Dask's array expressions have none
            for along_axis in voxels:
                data = data[along_axis]
        coords, shape = image._coords, image._data.shape
        for along_axis in voxels if coords is not None else ():
            coords = carry.by_key(coords, shape, along_axis)
            shape = np.broadcast_to(np.int8(0), shape)[along_axis].shape
        return image._wrap(data, geometry, copy_attrs(image._attrs), coords)

    def ravel(self) -> list[Collection]:
        """Return all chunks in C order."""
        return [self[i] for i in np.ndindex(self.shape)]


def _rebuild(
    parts: Any,
    finish: Any,
    args: Any,
    cls: type[Collection],
    geometry: Geometry,
    attrs: Any,
    coords: Any,
) -> Collection:
    """Make the image of a computed Dask array."""
    return cls._wrap(finish(parts, *args), geometry, copy_attrs(attrs), frozen(coords))


def _rebuild_persisted(
    graph: Any,
    finish: Any,
    args: Any,
    cls: type[Collection],
    geometry: Geometry,
    attrs: Any,
    coords: Any,
    **options: Any,
) -> Collection:
    """Make the image of a persisted Dask array."""
    return cls._wrap(finish(graph, *args, **options), geometry, copy_attrs(attrs), frozen(coords))
