"""The array that knows where it is: `SpatialArray`."""

from __future__ import annotations

import copy as _copy
import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck import backends
from spatial_duck.dispatch import Dispatching
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.methods import ArrayMethods
from spatial_duck.validation import refuse_setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from spatial_duck.geometry import Units
    from spatial_duck.world import World

    Floats = NDArray[np.float64]

__all__ = ["SpatialArray"]


class SpatialArray(ArrayMethods, Dispatching):
    """Any array, and where it lies in the physical world.

    NumPy's functions, ufuncs and operators work on it as on the array that it holds, and give
    images whose voxels have kept their places.

    Parameters
    ----------
    data : array
        NumPy, Dask, CuPy or Zarr array, or any array-API array (PyTorch, JAX, …). It is held, not
        copied. Lists and scalars become NumPy arrays.
    geometry : Geometry, optional
        Shape and place; excludes the parameters that follow.
    spacing : float or sequence of float, optional
        Positive distance between neighbouring voxel centres, one for each sampled axis, in
        array-axis order. Default 1.
    origin : sequence of float, optional
        World position of the centre of the voxel at index 0, in world-axis order. Default 0.
    direction : array_like of float, shape (n_world, n_sampled), optional
        One unit column for each sampled axis, one row for each world axis.
    dims : sequence of (str or None), optional
        Name of each array axis; must be given for more than 3 dimensions.
    sampled : sequence of str, optional
        Names of sampled axes besides x, y, z and t.
    world : World or sequence of str, optional
        The world axes. By default the sampled dims.
    frame : str, optional
        Which way the anatomical x, y and z point: ``"LPS"``, ``"RAS"`` or another such code.
    unit : str, mapping or sequence, optional
        Unit of the space axes, or of each world axis.
    attrs : mapping, optional
        Free metadata.

    Raises
    ------
    GeometryError
        If a value is not valid, or the geometry does not have the shape of the data.
    TypeError
        If the data are no array.

    Examples
    --------
    >>> import numpy as np
    >>> image = SpatialArray(np.zeros((4, 6)), spacing=(2.0, 0.5), origin=(10, 20))
    >>> image[1:, ::-1].origin
    array([12. , 22.5])
    >>> np.flip(image).T.spacing
    array([0.5, 2. ])
    """

    __slots__ = ()

    def __init__(
        self,
        data: Any,
        geometry: Geometry | None = None,
        *,
        spacing: ArrayLike | None = None,
        origin: ArrayLike | None = None,
        direction: ArrayLike | None = None,
        dims: Sequence[str | None] | None = None,
        sampled: Sequence[str] | None = None,
        world: World | Sequence[str] | None = None,
        frame: str | None = None,
        unit: Units | None = None,
        attrs: Mapping[Any, Any] | None = None,
    ) -> None:
        if isinstance(data, Dispatching):
            raise TypeError(
                "data is an image already: use image.replace(spacing=..., ...) to change its "
                "geometry, or image.data for its bare array"
            )
        self._data = backends.adopt(data)
        given = {
            "spacing": spacing, "origin": origin, "direction": direction, "dims": dims,
            "sampled": sampled, "world": world, "frame": frame, "unit": unit,
        }  # fmt: skip
        shape = tuple(self._data.shape)
        if geometry is None:
            geometry = Geometry(shape, **given)  # type: ignore[arg-type]
        else:
            both = [name for name, value in given.items() if value is not None]
            if both:
                raise GeometryError(
                    f"geometry excludes {', '.join(both)}: use geometry.replace(...) first"
                )
            if not isinstance(geometry, Geometry):
                raise GeometryError(f"geometry must be a Geometry, got {geometry!r}")
            if geometry.shape != shape:
                raise GeometryError(
                    f"geometry has shape {geometry.shape}, and the data have shape {shape}"
                )
        self._geometry = geometry
        self._attrs = dict(attrs) if attrs else None

    def replace(self, data: Any = None, **changes: Any) -> Self:
        """Return an image with other data, geometry or attrs.

        Parameters
        ----------
        data : array, optional
            New backing array.
        **changes
            `geometry`, `attrs`, or any parameter of `Geometry.replace`. What is not given stays.

        Returns
        -------
        SpatialArray
            Shares the data with this image where none are given.

        Raises
        ------
        GeometryError
            If the result is not valid, as when the new data have another shape.

        Examples
        --------
        >>> image = SpatialArray(np.zeros((2, 2)), spacing=3)
        >>> image.replace(np.ones((2, 2)), frame="LPS", world=("y", "x")).spacing
        array([3., 3.])
        """
        new = self._data if data is None else data
        if isinstance(new, Dispatching):
            raise TypeError("data must be a bare array: take image.data of the image that came")
        attrs = changes.pop("attrs", self._attrs)
        geometry = changes.pop("geometry", None)
        if geometry is not None and changes:
            raise GeometryError(f"geometry excludes {', '.join(changes)}")
        if geometry is None:
            geometry = self.geometry.replace(**changes) if changes else self.geometry
        return type(self)(new, geometry, attrs=attrs)

    # --- attributes -----------------------------------------------------------------------

    @property
    def attrs(self) -> dict[str, Any]:
        """Free metadata of this image."""
        if self._attrs is None:
            self._attrs = {}
        return self._attrs

    @property
    def spacing(self) -> Floats:
        """Distance between voxel centres along each sampled axis, in array-axis order."""
        return self.geometry.spacing

    @property
    def origin(self) -> Floats:
        """World position of the centre of the voxel at index 0, in world-axis order."""
        return self.geometry.origin

    @property
    def direction(self) -> Floats:
        """Unit vector of each sampled axis, as columns, shape (n_world, n_sampled)."""
        return self.geometry.direction

    @property
    def affine(self) -> Floats:
        """Homogeneous matrix from sampled indices to world, shape (n_world + 1, n_sampled + 1)."""
        return self.geometry.affine

    @property
    def dims(self) -> tuple[str | None, ...]:
        """Name of each array axis."""
        return self.geometry.dims

    @property
    def world(self) -> World:
        """The world coordinates: names, units and frame."""
        return self.geometry.world

    @property
    def frame(self) -> str | None:
        """Which way the anatomical x, y and z point, or None for unspecified."""
        return self.geometry.frame

    @property
    def unit(self) -> tuple[str | None, ...]:
        """Unit of each world axis."""
        return self.geometry.unit

    @property
    def bounds(self) -> Floats:
        """Box in the world that holds all voxels, to their outer edges, shape (2, n_world)."""
        return self.geometry.bounds

    @property
    def corner(self) -> Floats:
        """World position of the outer corner of the voxel at index 0."""
        return self.geometry.corner

    @property
    def center(self) -> Floats:
        """World position of the centre of the grid."""
        return self.geometry.center

    @property
    def orientation(self) -> str:
        """Anatomical direction that each space axis runs to, such as ``"SPL"``."""
        return self.geometry.orientation

    @property
    def lost(self) -> dict[int, str]:
        """The axes whose positions were lost, and the function that lost them."""
        return self.geometry.lost

    def index_to_physical(self, index: ArrayLike) -> Floats:
        """Return the world positions of array indices; see `Geometry.index_to_physical`."""
        return self.geometry.index_to_physical(index)

    def physical_to_index(self, point: ArrayLike) -> Floats:
        """Return the array indices of world positions; see `Geometry.physical_to_index`."""
        return self.geometry.physical_to_index(point)

    def _ordered(self, field: str, order: str) -> Floats:
        """Return a field with its space axes in an explicit order."""
        geometry = self.geometry
        names, axes = geometry.dims, geometry.world.axes
        columns = [names[i] for i in geometry.sampled_axes]
        missing = [a for a in order if a not in (axes if field == "origin" else columns)]
        if missing:
            raise GeometryError(
                f"{field}_{order} needs axes named {', '.join(order)}, got dims {names!r} and "
                f"world axes {axes!r}"
            )
        rows = [axes.index(a) for a in order if a in axes]
        if field == "origin":
            return geometry.origin[rows]
        picked = [columns.index(a) for a in order]
        return (
            geometry.spacing[picked]
            if field == "spacing"
            else (geometry.direction[np.ix_(rows, picked)])
        )

    @property
    def origin_xyz(self) -> Floats:
        """The origin in the order x, y, z, as ITK's order-explicit names have it."""
        return self._ordered("origin", "xyz")

    @property
    def origin_zyx(self) -> Floats:
        """The origin in the order z, y, x."""
        return self._ordered("origin", "zyx")

    @property
    def spacing_xyz(self) -> Floats:
        """The spacing in the order x, y, z."""
        return self._ordered("spacing", "xyz")

    @property
    def spacing_zyx(self) -> Floats:
        """The spacing in the order z, y, x."""
        return self._ordered("spacing", "zyx")

    @property
    def direction_xyz(self) -> Floats:
        """The direction with rows and columns in the order x, y, z."""
        return self._ordered("direction", "xyz")

    @property
    def direction_zyx(self) -> Floats:
        """The direction with rows and columns in the order z, y, x."""
        return self._ordered("direction", "zyx")

    # --- where the data are ---------------------------------------------------------------

    def to(self, backend: str, **options: Any) -> Self:
        """Return the image with its data on another backend.

        Parameters
        ----------
        backend : {"numpy", "dask", "cupy", "torch", …}
            Where to bring the data. Dask data are computed and Zarr data read where that needs it.
        **options
            Passed to the backend, such as ``chunks=`` for ``"dask"``.
        """
        return self.replace(backends.to(self._data, backend, **options))

    def compute(self, **options: Any) -> Self:
        """Return the image with its data computed or read into memory.

        Parameters
        ----------
        **options
            Passed to `dask.compute` where the data are a Dask array.
        """
        return self._wrap(
            backends.compute(self._data, **options), self._geometry, _copied(self._attrs)
        )

    def persist(self, **options: Any) -> Self:
        """Return the image with its Dask graph computed and held by the workers."""
        return self._wrap(
            backends.persist(self._data, **options), self._geometry, _copied(self._attrs)
        )

    def chunk(self, chunks: Any = "auto") -> Self:
        """Return the image as a lazy one, held by a Dask array.

        Parameters
        ----------
        chunks : int, tuple, dict or "auto", optional
            Chunk sizes as Dask takes them; for a Zarr-backed image by default the store's.
            A mapping may go by the names in `dims`.
        """
        return self._wrap(
            backends.chunked(self._data, self._chunks_by_axis(chunks)),
            self._geometry,
            _copied(self._attrs),
        )

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

    @property
    def device(self) -> Any:
        """The device that holds the data, as the array API names it."""
        return backends.device(self._data)

    def plot(self, **options: Any) -> Any:
        """Draw three planes through the centre, in world units.

        Parameters
        ----------
        **options
            As for `spatial_duck.plotting.plot`.

        Returns
        -------
        matplotlib.figure.Figure
            With an axes for each plane.
        """
        from spatial_duck import plotting

        return plotting.plot(self, **options)

    # --- exchange -------------------------------------------------------------------------

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Any:
        if isinstance(self._data, np.ndarray):
            return np.array(self._data, dtype=dtype, copy=copy)
        return backends.as_numpy(self._data, dtype, copy)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """Return the array-API namespace of images on this image's backend."""
        from spatial_duck.namespace import namespace_of

        return namespace_of(self._data)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Self:
        """Return the image with its data on another device of its backend.

        Parameters
        ----------
        device : object
            As the backend names it.
        stream : object, optional
            As the backend takes it.
        """
        data = backends.to_device(self._data, device, stream)
        return self._wrap(data, self._geometry, _copied(self._attrs))

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        asked = {
            "stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy,
        }  # fmt: skip
        # Only what was asked for: older backends know but some of these.
        return self._data.__dlpack__(**{k: v for k, v in asked.items() if v is not None})

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()  # type: ignore[no-any-return]

    @property
    def __cuda_array_interface__(self) -> Any:
        return self._data.__cuda_array_interface__

    def __buffer__(self, flags: int) -> memoryview:
        if not isinstance(self._data, np.ndarray):
            raise TypeError(
                f"a buffer needs data in memory, got {type(self._data).__name__}: use "
                "image.compute() or image.to('numpy')"
            )
        return (
            self._data.__buffer__(flags)
            if hasattr(self._data, "__buffer__")
            else (memoryview(self._data))
        )

    # --- Dask collection ------------------------------------------------------------------

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
        return _rebuild, (finish, args, self.geometry, self._attrs)

    def __dask_postpersist__(self) -> Any:
        finish, args = self._data.__dask_postpersist__()
        return _rebuild_persisted, (finish, args, self.geometry, self._attrs)

    def __dask_tokenize__(self) -> Any:
        from dask.tokenize import normalize_token

        return (
            "SpatialArray",
            normalize_token(self._data),
            self.geometry.__reduce__()[1][:3],
            repr(self.geometry.world),
            normalize_token(self._attrs or {}),
        )

    # --- copies and pickles ---------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._data, self.geometry, self._attrs)

    def __copy__(self) -> Self:
        return self._wrap(_copy.copy(self._data), self._geometry, _copied(self._attrs))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._wrap(
            _copy.deepcopy(self._data, memo), self.geometry, _copy.deepcopy(self._attrs, memo)
        )

    # --- showing --------------------------------------------------------------------------

    def __repr__(self) -> str:
        from spatial_duck import display

        return display.text(self)

    def _repr_html_(self) -> str:
        from spatial_duck import display

        return display.html(self)

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    __hash__ = None  # type: ignore[assignment]


class _Blocks:
    """What `SpatialArray.blocks` is indexed by."""

    __slots__ = ("_image",)

    def __init__(self, image: SpatialArray) -> None:
        self._image = image

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return self._image._data.numblocks  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of chunks."""
        return math.prod(self.shape)

    def __getitem__(self, key: Any) -> SpatialArray:
        image = self._image
        keys = key if isinstance(key, tuple) else (key,)
        keys = (*keys, *[slice(None)] * (image.ndim - len(keys))) if Ellipsis not in keys else keys
        if Ellipsis in keys:
            i = keys.index(Ellipsis)
            keys = (*keys[:i], *[slice(None)] * (image.ndim + 1 - len(keys)), *keys[i + 1 :])
        geometry, voxels = image.geometry, []
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
        return image._wrap(data, geometry, _copied(image._attrs))

    def ravel(self) -> list[SpatialArray]:
        """Return all chunks in C order."""
        return [self[i] for i in np.ndindex(self.shape)]


def _copied(attrs: dict[str, Any] | None) -> dict[str, Any] | None:
    return attrs.copy() if attrs else None


def _restore(cls: type[SpatialArray], data: Any, geometry: Geometry, attrs: Any) -> SpatialArray:
    return cls._wrap(data, geometry, attrs)


def _rebuild(parts: Any, finish: Any, args: Any, geometry: Geometry, attrs: Any) -> SpatialArray:
    """Make the image of a computed Dask array."""
    return SpatialArray._wrap(finish(parts, *args), geometry, _copied(attrs))


def _rebuild_persisted(
    graph: Any, finish: Any, args: Any, geometry: Geometry, attrs: Any, **options: Any
) -> SpatialArray:
    """Make the image of a persisted Dask array."""
    return SpatialArray._wrap(finish(graph, *args, **options), geometry, _copied(attrs))


refuse_setting(
    SpatialArray,
    (
        "data",
        "geometry",
        "spacing",
        "origin",
        "direction",
        "dims",
        "world",
        "frame",
        "unit",
        "attrs",
    ),
)
