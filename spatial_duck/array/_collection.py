"""Lazy images: chunks, computation, and Dask's protocol of collections.

An image on a Dask array is a Dask collection (`dask.compute`, `persist`, `tokenize`, ...), and the
result is an image with the same geometry.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from spatial_duck import backends
from spatial_duck._advice import check_keywords
from spatial_duck._signatures import show_keywords
from spatial_duck.array import _carry as carry
from spatial_duck.array._callers import asks_for_chunks, loses_place, wants_dask_array
from spatial_duck.array._coordinates import freeze_coords
from spatial_duck.array._state import ImageState, copy_attrs
from spatial_duck.array._typing import ComputeOptions
from spatial_duck.errors import GeometryError

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = ["Collection", "bare_chunks"]


class Collection(ImageState):
    """A mixin of `SpatialArray`: Dask's protocol, and methods on chunks."""

    __slots__ = ()

    @show_keywords(ComputeOptions)
    def compute(self, **options: Unpack[ComputeOptions]) -> Self:
        """Return the image with its data computed or read into memory.

        Parameters
        ----------
        **options
            Passed to `dask.compute` and its scheduler where the data are a Dask array.
        """
        check_keywords("compute", options, ComputeOptions.__annotations__)
        return self._with_data(backends.compute(self._data, **options))

    @show_keywords(ComputeOptions)
    def persist(self, **options: Unpack[ComputeOptions]) -> Self:
        """Return the image with its Dask graph computed and held by the workers."""
        check_keywords("persist", options, ComputeOptions.__annotations__)
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

    def rechunk(self, chunks: Any = "auto") -> Self:
        """Return the image as a lazy one with other chunks: the same as `chunk`."""
        if wants_dask_array():
            return backends.chunked(self._data, chunks)  # type: ignore[no-any-return]
        return self.chunk(chunks)

    def to_dask_array(self, chunks: Any = "auto") -> Any:
        """Return the data as a bare Dask array: the one that the image holds, if it holds one.

        Parameters
        ----------
        chunks : optional
            For data that are in no Dask array yet; as of `chunk`.
        """
        if not backends.is_dask(self._data):
            return self.chunk(chunks)._data
        asked = loses_place()
        if asked is not None:
            raise TypeError(
                f"xarray's {asked} of a lazy image would lose its geometry: use "
                "dask='allowed' or a function of NumPy, which keep images; or work without one, "
                "on spatial_duck.to_xarray(image, wrap=False)"
            )
        return self._data

    @property
    def blocks(self) -> Any:
        """The chunks of lazy data as images: ``image.blocks[2, 0]``, as of a Dask array."""
        if not backends.is_dask(self._data):
            raise TypeError(
                f"blocks needs data in a Dask array, got {type(self._data).__name__}: use "
                "image.chunk(...).blocks"
            )
        return _Blocks(self)

    @property
    def vindex(self) -> Any:
        """Voxels at points: ``image.vindex[[0, 2], [1, 3]]``, as of a Dask array.

        The axes that the arrays index come first in the result, in place of NumPy's order.
        """
        self._dask("vindex")
        return _Points(self)

    def map_blocks(self, func: Any, *args: Any, **options: Any) -> Self:
        """Run a function on each bare chunk, as of a Dask array; the image stays in its place.

        Parameters
        ----------
        func : callable
            Takes a chunk, and gives an array of its shape.
        *args, **options
            As of `dask.array.map_blocks`; images among them are taken as their arrays.

        Returns
        -------
        SpatialArray
            Lazy, on the same grid.

        Raises
        ------
        TypeError
            If the result has other chunks, so that it lies elsewhere.

        See Also
        --------
        spatial_duck.map_blocks : For functions that know where their block lies.
        """
        data = self._dask("map_blocks")
        bare = [a._data if isinstance(a, Collection) else a for a in args]
        options = {k: v._data if isinstance(v, Collection) else v for k, v in options.items()}
        if backends.is_known(type(options.get("meta"))):
            options["meta"] = backends.empty_block(options["meta"])
        found = data.map_blocks(func, *bare, **options)
        if found.chunks != data.chunks:
            raise TypeError(
                f"map_blocks of an image keeps the chunks {data.chunks}, got {found.chunks}: use "
                "spatial_duck.map_blocks(function, image), or image.data.map_blocks(...)"
            )
        return self._with_data(found)

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
        asked = asks_for_chunks()
        if asked is not None and not backends.is_dask(self._data):
            return None  # type: ignore[return-value]  # xarray asks arrays of every kind
        if asked == "save":
            raise TypeError(
                "xarray saves no lazy image that is wrapped: save "
                "spatial_duck.to_xarray(image, index=True), whose geometry is kept, or use "
                "spatial_duck.write(path, image)"
            )
        return self._dask("chunks").chunks  # type: ignore[no-any-return]

    def _dask(self, name: str) -> Any:
        """Return the Dask array that an attribute of that name is of."""
        if not backends.is_dask(self._data):
            raise AttributeError(
                f"{name} needs data in a Dask array, got {type(self._data).__name__}: use "
                f"image.chunk(...), or look at image.data"
            )
        return self._data

    # --- Dask's protocol ------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the Dask array's keys, which hold bare arrays."""
        return self._dask("name").name  # type: ignore[no-any-return]

    @property
    def numblocks(self) -> tuple[int, ...]:
        """Number of chunks of the Dask array along each axis."""
        return self._dask("numblocks").numblocks  # type: ignore[no-any-return]

    @property
    def npartitions(self) -> int:
        """Number of chunks of the Dask array."""
        return self._dask("npartitions").npartitions  # type: ignore[no-any-return]

    @property
    def _meta(self) -> Any:
        """A bare array without voxels, of the type of the chunks."""
        return backends.empty_block(self._dask("_meta"))

    def __dask_graph__(self) -> Any:
        return self._data.__dask_graph__() if backends.is_dask(self._data) else None

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
        declared = (self._data.shape, self._data.dtype)
        return _rebuild, (finish, args, declared, *self._without_data())

    def __dask_postpersist__(self) -> Any:
        finish, args = self._data.__dask_postpersist__()
        return _rebuild_persisted, (finish, args, *self._without_data())

    def _without_data(self) -> tuple[Any, ...]:
        """Return everything but the data that an image is made of."""
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


def bare_chunks(data: Any) -> Any:
    """Return a Dask array whose chunks are bare arrays; of chunks that are images, their data.

    xarray makes chunks that are images of an image in memory, by ``DataArray(image).chunk()``.
    """
    if not backends.is_dask(data):
        return data
    block = backends.empty_block(data)
    if not isinstance(block, Collection):
        return data
    return data.map_blocks(_bare, dtype=data.dtype, meta=block._data)


def _bare(block: Any) -> Any:
    return block._data if isinstance(block, Collection) else block


class _Blocks:
    """The indexer `SpatialArray.blocks`."""

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
            coords = carry.index_coords(coords, shape, along_axis)
            shape = np.broadcast_to(np.int8(0), shape)[along_axis].shape
        return image._wrap(data, geometry, copy_attrs(image._attrs), coords)

    def ravel(self) -> list[Collection]:
        """Return all chunks in C order."""
        return [self[i] for i in np.ndindex(self.shape)]


class _Points:
    """The indexer `SpatialArray.vindex`."""

    __slots__ = ("_image",)

    def __init__(self, image: Collection) -> None:
        self._image = image

    def __getitem__(self, key: Any) -> Any:
        image = self._image
        keys = key if isinstance(key, tuple) else (key,)
        keys = (*keys, *[slice(None)] * (image._data.ndim - len(keys)))
        picked = [i for i, k in enumerate(keys) if not isinstance(k, slice)]
        rest = [i for i in range(len(keys)) if i not in picked]
        first: Any = np.transpose(image, (*picked, *rest))
        return first[tuple([keys[i] for i in (*picked, *rest)])]


def _rebuild(
    parts: Any,
    finish: Any,
    args: Any,
    declared: tuple[Any, Any],
    cls: type[Collection],
    geometry: Geometry,
    attrs: Any,
    coords: Any,
) -> Collection:
    """Return the image of a computed Dask array."""
    found = finish(parts, *args)
    backends.check_computed(found, *declared)
    return cls._wrap(found, geometry, copy_attrs(attrs), freeze_coords(coords))


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
    """Return the image of a persisted Dask array."""
    return cls._wrap(
        finish(graph, *args, **options), geometry, copy_attrs(attrs), freeze_coords(coords)
    )
