"""The array that knows where it is: `SpatialArray`."""

from __future__ import annotations

import copy as _copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from spatial_duck import backends
from spatial_duck._advice import check_keywords
from spatial_duck._signatures import show_keywords
from spatial_duck.array import _dispatch as dispatch
from spatial_duck.array import _fast as fast
from spatial_duck.array import _frameworks as frameworks
from spatial_duck.array import _indexing as indexing
from spatial_duck.array import _vectors as vectors
from spatial_duck.array._attributes import GeometryAttributes
from spatial_duck.array._callers import announce_bare
from spatial_duck.array._collection import Collection, bare_chunks
from spatial_duck.array._coordinate_moves import keep_off_grid_coords
from spatial_duck.array._coordinates import (
    check_coords,
    drop_positions,
    freeze_coords,
    keep_fitting,
)
from spatial_duck.array._methods import ArrayMethods
from spatial_duck.array._state import ImageState
from spatial_duck.array._typing import ImageChanges
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.geometry._construction import Lengths, Units
from spatial_duck.geometry._validation import refuse_setting

if TYPE_CHECKING:
    import os
    from types import EllipsisType

    from spatial_duck import learning, pyramids, resampling, viewer
    from spatial_duck.io._options import WriteOptions
    from spatial_duck.io._source import Progress

    Floats = NDArray[np.float64]

__all__ = ["SpatialArray", "on_grid"]


class SpatialArray(ArrayMethods, GeometryAttributes, Collection):
    """Any array, and where it lies in the physical world.

    NumPy's functions, ufuncs and operators work on it as on the array that it holds, and give
    images whose voxels have kept their positions.

    Parameters
    ----------
    data : array
        NumPy, Dask, CuPy or Zarr array, or any array-API array (PyTorch, JAX, …). It is held, not
        copied. Lists and scalars become NumPy arrays.
    geometry : Geometry, optional
        Shape and position; excludes the parameters that follow.
    spacing : float, sequence of float or mapping, optional
        Positive distance between neighbouring voxel centres, one for each sampled axis, in
        array-axis order, or by name. Default 1. Numbers with a unit (pint, astropy, unyt,
        ``"2 um"``) are converted, or set the unit.
    origin : sequence of float or mapping, optional
        World position of the centre of the voxel at index 0, in world-axis order, or by name.
        Default 0.
    direction : array_like of float, shape (n_world, n_sampled), optional
        One unit column for each sampled axis, one row for each world axis.
    affine : array_like of float, shape (n_world + 1, n_sampled + 1), optional
        Instead of spacing, origin and direction: see `Geometry.from_affine`.
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
    coords : mapping, optional
        What the indices of an axis stand for beyond their place: ``{"channel": ("c", ["DAPI",
        "GFP"]), "echo_time": ("t", [10, 20], {"unit": "ms"}), "name": "M01"}``, spelled as xarray
        spells it. One number, time or string (or one small vector) for each index; they move
        with their axis. One that is named like its axis says where its indices lie, and makes
        it plain.
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
        spacing: Lengths | None = None,
        origin: Lengths | None = None,
        direction: ArrayLike | None = None,
        affine: ArrayLike | None = None,
        dims: Sequence[str | None] | None = None,
        sampled: Sequence[str] | None = None,
        world: World | Sequence[str] | None = None,
        frame: str | None = None,
        unit: Units | None = None,
        coords: Mapping[str, Any] | None = None,
        attrs: Mapping[Any, Any] | None = None,
    ) -> None:
        if isinstance(data, ImageState):
            raise TypeError(
                "data is an image already: use image.replace(spacing=..., ...) to change its "
                "geometry, or image.data for its bare array"
            )
        _enter_frameworks()
        self._data = backends.adopt(bare_chunks(data))
        given = {
            "spacing": spacing, "origin": origin, "direction": direction, "affine": affine,
            "dims": dims, "sampled": sampled, "world": world, "frame": frame, "unit": unit,
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
                hint = (
                    "that of an image is image.geometry"
                    if isinstance(geometry, ImageState)
                    else "spacing=, origin= and direction= are given by name"
                )
                raise GeometryError(f"geometry must be a Geometry, got {geometry!r}; {hint}")
            if geometry.shape != shape:
                raise GeometryError(
                    f"geometry has shape {geometry.shape}, and the data have shape {shape}"
                )
        self._coords = vectors.complete_component(check_coords(coords, geometry), geometry)
        self._geometry = drop_positions(geometry, self._coords)
        self._attrs = dict(attrs) if attrs else None

    @show_keywords(ImageChanges)
    def replace(self, data: Any = None, **changes: Unpack[ImageChanges]) -> Self:
        """Return an image with other data, geometry or attrs.

        Parameters
        ----------
        data : array, optional
            New backing array.
        shape, spacing, origin, direction, affine, dims, sampled : optional
            As the constructor has them, and `Geometry.replace`. What is not given stays.
        world, frame, unit, lost, geometry, coords, attrs : optional
            Likewise; of coordinates, those whose axis keeps its length stay.

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
        if isinstance(new, ImageState):
            raise TypeError("data must be a bare array: take image.data of the image that came")
        check_keywords("replace", changes, ["data", *ImageChanges.__annotations__])
        fields: dict[str, Any] = dict(changes)
        attrs = fields.pop("attrs", self._attrs)
        coords = fields.pop("coords", None)
        named = fields.keys() & {"frame", "unit", "world"}  # given by name, not converted
        geometry = fields.pop("geometry", None)
        if geometry is not None and fields:
            raise GeometryError(f"geometry excludes {', '.join(fields)}")
        if geometry is None:
            geometry = self.geometry.replace(**fields) if fields else self.geometry
        if coords is None:
            coords = keep_fitting(self._coords, self._data.shape, geometry.shape)
            if named:
                coords = vectors.update_component(coords, self.geometry, geometry)
        return type(self)(new, geometry, coords=coords, attrs=attrs)

    # --- attributes -----------------------------------------------------------------------

    @property
    def attrs(self) -> dict[str, Any]:
        """Free metadata of this image."""
        if self._attrs is None:
            self._attrs = {}
        return self._attrs

    # --- NumPy's protocols ----------------------------------------------------------------

    __array_function__ = dispatch.array_function

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return dispatch.array_ufunc(self, ufunc, method, inputs, kwargs)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        from spatial_duck.array._torch_functions import torch_function

        return torch_function(func, types, args, kwargs)

    @overload
    def __getitem__(self, key: tuple[int, ...]) -> Any: ...
    @overload
    def __getitem__(
        self, key: slice | EllipsisType | tuple[int | slice | EllipsisType | None, ...] | None
    ) -> SpatialArray: ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        """Return the voxels that a NumPy key selects, each in its place.

        Basic keys move the geometry exactly. Index arrays that walk the grid in even steps do so
        too; axes indexed in another way become plain (see `Geometry.lost`). A mask that is an
        image must lie on this image's grid.
        """
        result = fast.select(self, key)
        return indexing.select(self, key) if result is NotImplemented else result

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write voxels into the backing array.

        An image that is written must lie on the grid of the voxels that it replaces.
        """
        indexing.assign(self, key, value)

    if TYPE_CHECKING:
        # The functions of `Forward`, whose first parameter is the image.
        augment = learning.augment
        conform = learning.conform
        crop = resampling.crop
        pad_to = resampling.pad_to
        plot = viewer.plot
        pyramid = pyramids.pyramid
        reorient = resampling.reorient
        resample = resampling.resample
        sample = resampling.sample
        show = viewer.show

        def write(
            self,
            path: str | os.PathLike[str],
            *,
            format: str | None = None,
            overwrite: bool = False,
            progress: bool | Progress | None = None,
            axis_order: str | None = None,
            **options: Unpack[WriteOptions],
        ) -> None: ...

    # --- where the data are ---------------------------------------------------------------

    def close(self) -> None:
        """Close the file that `read` opened: a mapped file, an archive, a TIFF, a store.

        Its voxels cannot be read any more, by slices and lazy results of the image neither, and
        each says so; what was computed stays. An image in memory has nothing to close.
        ``with spatial_duck.read(path) as image:`` closes it at the end of the block.

        Notes
        -----
        A mapped file is let go of with the last array that views it, as NumPy's are: slices of the
        image, and ``image.data``, keep it open while they live, and can be read. Only the image
        that `read` returned closes something: a slice, a copy or another image made of it does not.
        """
        parts = getattr(self, "_opened", ())
        try:
            del self._opened
        except AttributeError:  # not of `read`, or closed, maybe by another thread just now
            return
        for part in parts:
            part.close()
        file = backends.backend_of(self._data).close(self._data)
        if file is not None:
            form = np.broadcast_to(np.empty((), self.dtype), self.geometry.shape)
            self._closed = file, form
            del self._data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def to(self, backend: str, *, chunks: Any = None, device: Any = None, **options: Any) -> Self:
        """Return the image with its data on another backend.

        Parameters
        ----------
        backend : {"numpy", "dask", "cupy", "torch", …}
            Where to bring the data. Dask data are computed and Zarr data read where that needs it.
        chunks : optional
            For ``"dask"``, as of `chunk`.
        device : optional
            For ``"cupy"``, ``"torch"`` and others with devices, as the backend names it.
        **options
            Those of a registered backend.
        """
        given = {"chunks": chunks, "device": device}
        options |= {name: value for name, value in given.items() if value is not None}
        moved = self._with_data(backends.to(self._data, backend, **options))
        _enter_frameworks()  # libraries may have been imported by the conversion
        return moved

    @property
    def device(self) -> Any:
        """The device that holds the data, as the array API names it."""
        return backends.device(self._data)

    # --- exchange -------------------------------------------------------------------------

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Any:
        announce_bare()
        if isinstance(self._data, np.ndarray):
            return np.array(self._data, dtype=dtype, copy=copy)
        return backends.as_numpy(self._data, dtype, copy)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """Return the array-API namespace of images on this image's backend."""
        from spatial_duck.array._namespace import namespace_of

        return namespace_of(self)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Self:
        """Return the image with its data on another device of its backend.

        Parameters
        ----------
        device : object
            As the backend names it.
        stream : object, optional
            As the backend takes it.
        """
        return self._with_data(backends.to_device(self._data, device, stream))

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        announce_bare()
        asked = {
            "stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy,
        }  # fmt: skip
        # Only the arguments given: older backends do not know all of them.
        return self._data.__dlpack__(**{k: v for k, v in asked.items() if v is not None})

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()  # type: ignore[no-any-return]

    @property
    def __cuda_array_interface__(self) -> Any:
        announce_bare()
        return self._data.__cuda_array_interface__

    def __buffer__(self, flags: int) -> memoryview:
        announce_bare()
        if not isinstance(self._data, np.ndarray):
            raise TypeError(
                f"a buffer needs data in memory, got {type(self._data).__name__}: use "
                "image.compute() or image.to('numpy')"
            )
        buffer = getattr(self._data, "__buffer__", None)
        return memoryview(self._data) if buffer is None else buffer(flags)

    # --- copies and pickles ---------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._data, self.geometry, self._attrs, self._coords)

    def __copy__(self) -> Self:
        return self._with_data(_copy.copy(self._data))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._wrap(
            _copy.deepcopy(self._data, memo),
            self.geometry,
            _copy.deepcopy(self._attrs, memo),
            self._coords,
        )

    # --- showing --------------------------------------------------------------------------

    def __repr__(self) -> str:
        from spatial_duck._display import _image as display

        return display.text(self)

    def _repr_html_(self) -> str:
        from spatial_duck._display import _image as display

        return display.html(self)

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    __hash__ = None  # type: ignore[assignment]


def on_grid(image: SpatialArray, data: Any, geometry: Geometry) -> SpatialArray:
    """Return data on another grid as an image, with the attrs and coordinates that still hold.

    Parameters
    ----------
    image : SpatialArray
        The source of the attrs, and of the coordinates of axes that are unchanged.
    data : array
        The values.
    geometry : Geometry
        Where they lie.
    """
    coords = keep_off_grid_coords(image._coords, image.geometry, geometry)
    return SpatialArray(data, geometry, coords=coords, attrs=image.attrs)


def _restore(
    cls: type[SpatialArray], data: Any, geometry: Geometry, attrs: Any, coords: Any
) -> SpatialArray:
    _enter_frameworks()
    return cls._wrap(data, geometry, attrs, freeze_coords(coords))


def _enter_frameworks() -> None:
    """Register images with PyTorch and JAX, if these have been imported since."""
    for name in frameworks.PENDING:
        if name in sys.modules:
            frameworks.register(SpatialArray)
            return


refuse_setting(
    SpatialArray,
    "data geometry spacing origin direction dims world frame unit coords attrs".split(),
)
