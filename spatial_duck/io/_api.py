"""`read`, `write`, `info` and `sniff`, for every format."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np

from spatial_duck import backends
from spatial_duck._display._describe import printable
from spatial_duck._progress import progress_bar
from spatial_duck._signatures import show_keywords
from spatial_duck.array import SpatialArray, as_image, asarray
from spatial_duck.errors import FormatError, SpatialDuckError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._points import nearest_axes
from spatial_duck.geometry._world import SPACE_AXES, check_frame
from spatial_duck.io import _safety as safety
from spatial_duck.io._coords import warn_of_lost_coords
from spatial_duck.io._deferred import deferred_array, guarded_blocks
from spatial_duck.io._estimate import announce_large_write
from spatial_duck.io._identity import Identity
from spatial_duck.io._libraries import library_for
from spatial_duck.io._location import is_remote, parse_location
from spatial_duck.io._many import (
    is_stream,
    join_images,
    missing_error,
    paths_of,
    pattern_for,
    temporary_copy,
)
from spatial_duck.io._option_values import check_boolean
from spatial_duck.io._options import ReadOptions, WriteOptions
from spatial_duck.io._publishing import publish_atomically
from spatial_duck.io._registry import find_format, format_of, format_to_write, names
from spatial_duck.io._source import Progress, Source

if TYPE_CHECKING:
    from spatial_duck.io._format import Format

__all__ = ["Info", "info", "read", "sniff", "write"]

#: How often a file that is replaced while it is read is opened.
_ATTEMPTS = 5
#: Most files that are mapped at once to be joined: each map holds a descriptor, and processes have
#: 256 or more. Of more files each is copied when it is opened.
_MAX_MAPPED = 100


class Info(NamedTuple):
    """Metadata of an image in a file.

    Attributes
    ----------
    format : str
        Name of the format.
    geometry : Geometry
        Geometry of the image at the level asked for.
    dtype : dtype
        Data type of the voxels when they are read.
    attrs : dict
        Header fields that the geometry does not represent.
    levels : int
        Number of resolutions in the file.
    """

    format: str
    geometry: Geometry
    dtype: np.dtype[Any]
    attrs: dict[str, Any]
    levels: int


def sniff(path: str | os.PathLike[str]) -> str | None:
    """Return the name of a file's format, from its content, or None.

    Parameters
    ----------
    path : path
        A file or directory.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = format_of(Path(path))
    return None if found is None else found.name


def _format_to_read(path: Any, format: str | None) -> Format:
    if format is not None:
        return find_format(format)
    if is_remote(path):
        return find_format("ome-zarr")
    try:
        found = format_of(Path(path))
    except FileNotFoundError:
        from spatial_duck.io.ngff import _journal as journal

        interrupted = journal.describe_unfinished(path)
        if interrupted is None:
            raise missing_error(path) from None
        raise FormatError(interrupted) from None
    if found is None:
        advice = library_for(Path(path)) or pattern_for(Path(path))
        advice = advice or "name one with format= if you know better"
        raise FormatError(
            f"{path}: its content is of none of the formats that are read: {', '.join(names())}; "
            f"{advice}"
        )
    return found


class _Opened(NamedTuple):
    """An open file, with what it takes to open it again.

    `identity` is that of the file and its parts before the header was read; None for a store, which
    has its own.
    """

    format: Format
    location: Any
    options: dict[str, Any]
    source: Source
    identity: Identity | None

    def load(self, lazy: bool | None, map_file: bool) -> Any:
        """Return the voxels; an error is raised if the file has changed when they are read."""
        source, identity = self.source, self.identity
        data = source.load(lazy)
        if identity is None:
            return data
        mapped = backends.is_mapped(data)
        if mapped and not map_file and not lazy:
            data, mapped = np.array(data), False
        whole = identity.joined(source.identity)
        whole.check()
        if data is None or (lazy and type(data) is np.ndarray and not (mapped and map_file)):
            shape, dtype = source.geometry.shape, source.dtype
            return deferred_array(self.format, self.location, self.options, whole, shape, dtype)
        # A block of one of several files checks that one itself.
        return guarded_blocks(data, identity) if backends.is_dask(data) else data


def location_and_format(path: Any, format: str | None) -> tuple[Any, Format]:
    """Return a parsed location and the format that reads it."""
    location = parse_location(path)
    chosen = _format_to_read(location, format)
    if is_remote(location) and not chosen.opens_stores:
        raise FormatError(f"{path}: {chosen.name} is read from files, not from URLs or stores")
    return location, chosen


def _open(path: Any, format: str | None, level: int | None, **options: Any) -> _Opened:
    location, chosen = location_and_format(path, format)
    if level is not None:
        if "level" in chosen.options("read"):
            options["level"] = level
        elif level != 0:
            raise FormatError(
                f"{path}: {chosen.name} has one level only, level={level} was asked for"
            )
    chosen.check_options("read", options)
    if not is_remote(location):
        safety.check_is_no_device(location)
    identity = _file_identity(chosen, location)
    opened = chosen.open(location, **options)
    if not isinstance(opened, Source):
        image = asarray(opened)
        opened = Source(
            chosen.name, image.geometry, np.dtype(image.dtype), dict(image.attrs),
            lambda _: image.data, coords=image.coords,
        )  # fmt: skip
    _check_names(path, opened.geometry)
    return _Opened(chosen, location, options, opened, identity)


def _check_names(path: Any, geometry: Geometry) -> None:
    """Check that names and units have no control characters, which could change a terminal."""
    world = geometry.world
    for word in filter(None, (*geometry.dims, *world.axes, *world.units, world.frame)):
        if not word.isprintable():
            raise FormatError(f"{path}: {word!r} is not a valid name of an axis, a unit or a frame")


def _file_identity(opened: Format, location: Any) -> Identity | None:
    """Return the identity of a file and its parts before they are opened; stores have their own."""
    if is_remote(location) or opened.opens_stores:
        return None
    identity = Identity.of([location])
    try:
        parts = opened.parts(location)
    except (OSError, ValueError):
        return identity
    return identity.joined(Identity.of(parts))


@show_keywords(ReadOptions)
def read(
    path: Any,
    *,
    format: str | None = None,
    level: int | None = None,
    dims: Sequence[str | None] | None = None,
    lazy: bool | None = None,
    **options: Unpack[ReadOptions],
) -> SpatialArray:
    """Open an image.

    Parameters
    ----------
    path : path, str, list, bytes or file
        A file, or the directory (or URL) of a Zarr group. Of several files (a list, or a pattern
        such as ``"slices/*.dcm"``, which is sorted by the numbers in the names) slices at even
        steps become a volume, and images on one grid are stacked along a new axis ``file``; planes
        whose files do not say where they lie become a volume by ``SpatialArray(image.data,
        spacing=..., unit=...)``. The content of a file as bytes, or a file that is
        open for reading bytes, is read into memory.
    format : str, optional
        Name of the format; by default it is recognised by the content.
    level : int, optional
        Resolution to open, 0 the finest.
    dims : sequence of str, optional
        Names of the axes in the order wanted; a view. By default the order of the format's usual
        library.
    lazy : bool, optional
        True: a Dask array or view that reads nothing before it is computed. False: in memory. By
        default lazy if that costs nothing (raw files are mapped, Zarr arrays are views).
    **options
        Options of the format, below; one that it lacks is refused, before anything is read.

    Returns
    -------
    SpatialArray
        Its ``attrs`` hold header fields under the format's name, which are written again. It
        closes its file at the end of ``with read(path) as image:``, or by ``image.close()``.

    Other Parameters
    ----------------
    form : {"sform", "qform"}, optional
        NIfTI: which of the header's two affines.
    scaled : bool, optional
        NIfTI, DICOM: apply the slope and intercept of the header. Default True.
    image : str, optional
        OME-Zarr: which of the images inside, such as ``"labels/cells"``; `io.list_images` lists
        them.
    multiscale : int or str, optional
        OME-Zarr: which of several pyramids, by number or name.
    system : str, optional
        OME-Zarr 0.6: the coordinate system to follow.
    exact : bool, optional
        OME-Zarr, TIFF: use the exact geometry that stands beside the standard's. Default True.
    missing : {"refuse", "fill"}, optional
        OME-Zarr: what is done with chunks that are missing.
    storage_options : mapping, optional
        OME-Zarr: how to reach a URL, as fsspec takes it.
    series : str or int, optional
        DICOM, TIFF: which of several series.
    where : mapping, optional
        DICOM: take the frames whose elements have these values: ``{"EchoNumbers": 1}``.
    tolerance : float, optional
        DICOM: how uneven distances of slices may be, in mm. Default 0.01.
    irregular : {"refuse", "resample"}, optional
        DICOM: what is done with slices at uneven distances.
    step : float, optional
        DICOM: distance of the slices that ``irregular="resample"`` makes, in mm.
    duplicates : {"refuse", "first"}, optional
        DICOM: what is done with several frames at one position.
    plain : bool, optional
        TIFF: pixels and the standard's own tags alone. Default False.
    labels : bool, optional
        NRRD segments: one label image instead of a mask for each segment. Default False.
    data_anywhere : bool, optional
        NRRD, MetaImage: allow a data file in another folder. Default False.
    dataset : str, optional
        HDF5: which dataset.
    name : str, optional
        VTI: which array.

    Raises
    ------
    FormatError
        If the file is not valid.
    UnsafeInputError
        If it declares more data than it holds, or data in another folder.

    Notes
    -----
    `write` replaces a file in one step, so that images which map the old one keep its values. A
    program that rewrites a mapped file in place changes the image's values, and one that shortens
    it ends this process with a bus error when they are read, which no check can prevent: where
    other programs do so, read with ``lazy=False``, or from a copy.
    """
    if lazy is not None:
        check_boolean("lazy", lazy)
    own: dict[str, Any] = {"format": format, "level": level, **options}
    several = paths_of(path)
    if several is not None:
        if len(several) == 1:
            return read(several[0], dims=dims, lazy=lazy, **own)
        map_files = not lazy and len(several) <= _MAX_MAPPED
        each = [_read_part(one, lazy, map_files, own) for one in several]
        image = join_images(each, [str(one)[:200] for one in several])
        image = image if dims is None else _order_axes(image, dims)
        # In memory it is a copy; a lazy one reads from the stores of its parts.
        image._opened = tuple(each) if backends.is_lazy(image.data) else ()
        return image
    if is_stream(path):
        if lazy:
            raise FormatError("bytes and open files are read into memory: lazy=True needs a path")
        with temporary_copy(path) as location:
            try:
                return read(location, dims=dims, lazy=False, **own)
            except FormatError as error:
                message = str(error).replace(str(location), f"the content of {type(path).__name__}")
                raise FormatError(message) from error
    image = _read_file(path, lazy, True, own)
    image = image if dims is None else _order_axes(image, dims)
    image._opened = ()
    return image


def _read_file(
    path: Any, lazy: bool | None, map_file: bool, own: Mapping[str, Any]
) -> SpatialArray:
    """Return the image of a file; `map_file` says whether the file may stay mapped, and so open.

    One that is replaced between its header and its voxels is opened again.
    """
    location = parse_location(path)
    for _ in range(_ATTEMPTS - 1):
        before = Identity.of([] if is_remote(location) else [location])
        try:
            return _read_once(path, lazy, map_file, own)
        except (FormatError, OSError):  # its data file may be gone
            if before.is_current():
                raise
    return _read_once(path, lazy, map_file, own)


def _read_once(
    path: Any, lazy: bool | None, map_file: bool, own: Mapping[str, Any]
) -> SpatialArray:
    opened = _open(path, **own)
    data, source = opened.load(lazy, map_file), opened.source
    return SpatialArray(data, source.geometry, coords=source.coords, attrs=source.attrs)


def _read_part(path: Any, lazy: bool | None, map_file: bool, own: dict[str, Any]) -> SpatialArray:
    """Return the image of one of several files."""
    if is_stream(path) or paths_of(path) is not None:
        return read(path, lazy=lazy, **own)
    part = _read_file(path, lazy, map_file, own)
    part._opened = ()
    return part


def _order_axes(image: SpatialArray, dims: Sequence[str | None]) -> SpatialArray:
    if sorted(map(str, dims)) != sorted(map(str, image.dims)):
        raise FormatError(f"dims: the image has {image.dims!r}, and {tuple(dims)!r} were asked for")
    moved: SpatialArray = image.transpose([image.dims.index(name) for name in dims])
    return moved


@show_keywords(ReadOptions)
def info(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    level: int | None = None,
    **options: Unpack[ReadOptions],
) -> Info:
    """Return the metadata of an image in a file, without reading voxels.

    Parameters
    ----------
    path, format, level
        As for `read`.
    **options
        As for `read`.

    Returns
    -------
    Info
    """
    source = _open(path, format, level, **options).source
    return Info(source.format, source.geometry, source.dtype, source.attrs, source.levels)


@show_keywords(WriteOptions)
def write(
    path: str | os.PathLike[str],
    image: SpatialArray,
    *,
    format: str | None = None,
    overwrite: bool = False,
    progress: bool | Progress | None = None,
    axis_order: str | None = None,
    **options: Unpack[WriteOptions],
) -> None:
    """Write an image; the target is complete or not there at all.

    Parameters
    ----------
    path : path
        The target; its suffix decides the format.
    image : SpatialArray
        The image, in memory, Dask or Zarr; data that are not in memory are written in parts.
    format : str, optional
        Name of the format; by default it follows from the suffix.
    overwrite : bool, optional
        Replace an existing target, when the new one is complete.
    progress : bool or callable, optional
        True shows a bar, False none; a callable gets (bytes done, bytes in all). By default
        terminals and notebooks show one after two seconds, see `config`; before more than 10 GB
        are written they show the free space and the least time that it takes.
    axis_order : str, optional
        Anatomical directions of the file's space axes, in the file's order, as nibabel's
        ``aff2axcodes`` returns them: with ``"RAS"`` the fastest runs to the right. By default the
        axes named x, y and z are the file's first, second and third.
    **options
        Options of the format, below; one that it lacks is refused, before anything is written.

    Other Parameters
    ----------------
    version : int or str, optional
        NIfTI: 1 or 2; OME-Zarr: ``"0.4"``, ``"0.5"`` or ``"0.6"``.
    frame : str, optional
        NIfTI, NRRD, MetaImage, DICOM: the frame of an image that has none.
    compress : bool, optional
        NRRD, MetaImage, TIFF, HDF5, VTI. Default False, of segments True.
    chunks : int, mapping or sequence of int, optional
        OME-Zarr, HDF5: voxels of a chunk along each axis.
    shards : int, mapping, sequence of int or bool, optional
        OME-Zarr 0.5: voxels of a shard along each axis. True for shards of a size that is chosen;
        by default where there are many small chunks.
    levels : int, optional
        OME-Zarr: number of resolutions.
    factors : int or mapping, optional
        OME-Zarr: bin length from level to level, as for `pyramid`.
    method : {"mean", "gaussian", "nearest", "mode", "label"}, optional
        OME-Zarr: how the values of a bin become one, as for `pyramid`.
    oblique : {"refuse", "keep"}, optional
        OME-Zarr, TIFF, PNG: what is done with an image whose directions the standard cannot hold.
    memory : int or str, optional
        OME-Zarr: most bytes of blocks at once. Default 512 MB.
    threads : int, optional
        OME-Zarr: number of threads.
    resume : bool, optional
        OME-Zarr: go on with an interrupted write. Default False.
    label : str, optional
        OME-Zarr: add the image as labels of this name to the image at the path; they are read with
        ``image="labels/cells"`` for the name ``"cells"``.
    storage_options : mapping, optional
        OME-Zarr: how to reach a URL, as fsspec takes it.
    kind : str, optional
        DICOM: ``"image"``, ``"seg"`` or ``"labelmap"``; TIFF: ``"ome"``,
        ``"imagej"`` or ``"geotiff"``, the default for images with ``attrs["crs"]``.
    source : path, optional
        DICOM: the series that a segmentation refers to.
    segments : mapping of int to str, optional
        DICOM, .seg.nrrd: names of the segments.
    omit_empty : bool, optional
        DICOM: leave the empty frames of a segmentation out. Default False.
    tile : int, optional
        TIFF: side of the tiles in pixels, a multiple of 16.
    dataset : str, optional
        HDF5: name of the dataset.
    name : str, optional
        VTI: name of the array.

    Raises
    ------
    GeometryLossError
        If the format cannot hold the geometry; nothing is written. The message says what would be
        lost and which option accepts it.
    FileExistsError
        If the target exists and `overwrite` is false.
    FileNotFoundError
        If the folder of the target does not exist.

    Warns
    -----
    UserWarning
        If the format cannot store some of the image's coordinates, which are left out.
    """
    if isinstance(path, SpatialArray):
        raise TypeError(f"write(path, image) takes the path first, got {type(path).__name__}")
    location = parse_location(path)
    chosen = _format_to_write(location, format)
    image = _one_image(image)
    if axis_order is not None:
        image = _in_file_order(image, axis_order)
    own = dict(options)
    if is_remote(location) or chosen.opens_stores:
        # Of the file system of a URL alone: code for both gives an empty mapping with a path.
        given = own.pop("storage_options", None)
        if given and not is_remote(location):
            raise FormatError(
                f"{path}: storage_options= say how to reach a URL, and this is a local path; "
                "leave them out"
            )
    check_boolean("overwrite", overwrite)
    chosen.check_options("write", own)
    check_frame(options.get("frame"))
    if image.coords:
        warn_of_lost_coords(path, chosen.name, image, chosen.held_coords(image, **own))
    has_name = isinstance(location, str | Path)
    name = str(location).rstrip("/").rpartition("/")[2] if has_name else "store"
    with progress_bar(f"writing {printable(name)}", progress) as report:
        if not callable(progress) and progress is not False:
            announce_large_write(location, image)
        _write(
            location, chosen, image, overwrite, report,
            dict(options) if is_remote(location) else own,
        )  # fmt: skip


def _write(
    location: Any, chosen: Format, image: SpatialArray, overwrite: bool, progress: Progress,
    options: dict[str, Any],
) -> None:  # fmt: skip
    if is_remote(location):
        if not chosen.opens_stores:
            raise FormatError(
                f"{location}: {chosen.name} is written to paths, not to URLs or stores"
            )
        given = {"overwrite": overwrite, "progress": progress, **options}
        if chosen.write_store is not None:
            chosen.write_store(location, image, **given)
        else:
            from spatial_duck.io.ngff._store import write_by_folder

            write_by_folder(chosen.write, location, image, **given)
        return
    folder = location.parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{location} cannot be written: there is no folder {str(folder)!r}; create it first"
        )
    if chosen.publishes:
        chosen.write(location, image, overwrite=overwrite, progress=progress, **options)
        return
    with publish_atomically(
        location, overwrite=overwrite, directory=chosen.writes_folder(location), parts=chosen.parts
    ) as fresh:
        own = chosen.arguments_of_write(overwrite=overwrite, progress=progress)
        try:
            chosen.write(fresh, image, **own, **options)
        except SpatialDuckError as error:
            message = str(error).replace(str(fresh), str(location))
            if message == str(error):
                raise
            raise type(error)(message) from error


def _format_to_write(path: Any, format: str | None) -> Format:
    if format is not None:
        return find_format(format)
    if is_remote(path) and not isinstance(path, str):
        return find_format("ome-zarr")
    return format_to_write(Path(path))


def _in_file_order(image: SpatialArray, axis_order: str) -> SpatialArray:
    """Return an image whose axes named x, y and z run in the directions of an orientation."""
    from spatial_duck.resampling._physical import reorient

    oriented = reorient(image, axis_order)
    space = [axis for axis, _, _ in nearest_axes(oriented.geometry)]
    dims = list(oriented.dims)
    for axis, name in zip(space, SPACE_AXES, strict=False):
        dims[axis] = name
    return oriented.replace(dims=dims)


def _one_image(image: Any) -> SpatialArray:
    if not isinstance(image, SpatialArray):
        from spatial_duck.pyramids import Pyramid

        if isinstance(image, Pyramid):
            raise TypeError(
                "write takes one image, got a Pyramid: write(path, pyramid[0], "
                f"levels={len(image)}) makes its levels again, in OME-Zarr"
            )
    return as_image(image, "write", on_host=True)
