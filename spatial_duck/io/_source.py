"""`Source`, an opened file whose voxels are not read yet; and writing of voxels in slabs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from spatial_duck import backends
from spatial_duck.geometry import Geometry
from spatial_duck.io._identity import Identity

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["Progress", "Source", "reporter", "slab_keys", "slabs", "write_voxels"]

#: Most bytes of voxels in a slab, which has at least one row.
SLAB_BYTES = 1 << 26


class Progress(Protocol):
    """A function that reports the progress of long work."""

    def __call__(self, done: int, total: int, /) -> Any:
        """Report the bytes that are done, of all bytes."""


class Source(NamedTuple):
    """An opened file whose voxels have not been read.

    Attributes
    ----------
    format : str
        Name of the format.
    geometry : Geometry
        Geometry of the image.
    dtype : dtype
        Data type of the voxels when they are read.
    attrs : dict
        Header fields that have no place in the geometry, under the format's name.
    load : callable
        ``load(lazy)`` returns the voxels. `lazy` None: mapped or chunked if that costs nothing,
        else in memory; True: not read before they are computed; False: in memory. For True it may
        return None, if voxels can only be read all at once: the file is then opened again and
        loaded into memory when they are computed.
    levels : int
        Number of resolutions in the file.
    coords : mapping, optional
        Coordinates of the image, as `SpatialArray` takes them.
    identity : Identity, optional
        State of other files than that at the path and its parts, noted before they were read.
    """

    format: str
    geometry: Geometry
    dtype: np.dtype[Any]
    attrs: dict[str, Any]
    load: Callable[[bool | None], Any]
    levels: int = 1
    coords: Mapping[str, Any] | None = None
    identity: Identity = Identity()


def slab_keys(
    shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[tuple[int, ...], ...] | None = None
) -> Iterator[tuple[int | slice, ...]]:
    """Yield the keys of all voxels in the order of memory, slowest axis first, some at a time.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Data type of the slabs.
    chunks : tuple of tuple of int, optional
        Sizes of the array's chunks along each axis; slabs end with them where they can.
    """
    if 0 in shape:
        return
    axis, row = 0, dtype.itemsize
    for n in shape[1:]:
        row *= n
    # Axes before `axis` are indexed one by one, so that a slab never exceeds the limit by much.
    while row > SLAB_BYTES and axis < len(shape) - 1:
        axis += 1
        row //= shape[axis]
    step = max(1, SLAB_BYTES // max(row, 1))
    if chunks and chunks[axis]:
        step = max(1, round(step / chunks[axis][0])) * chunks[axis][0]
    for outer in np.ndindex(shape[:axis]):
        for start in range(0, shape[axis] if shape else 1, step):
            yield (*outer, slice(start, min(start + step, shape[axis]))) if shape else ()


def slabs(data: Any, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield all voxels in the order of memory, slowest axis first, some at a time.

    Parameters
    ----------
    data : array
        An array of any backend whose data are, or can be read into, the host's memory.
    dtype : dtype
        Data type of the slabs.
    """
    for key in slab_keys(tuple(data.shape), dtype, backends.chunks(data)):
        part = backends.to(backends.index(data, key), "numpy")
        yield np.ascontiguousarray(part, dtype=dtype)


def write_voxels(
    write: Callable[[Any], Any], data: Any, dtype: np.dtype[Any], progress: Any = None
) -> None:
    """Write all voxels with `write`, slowest axis first, and report the progress."""
    total = dtype.itemsize * int(np.prod(data.shape, dtype=object))
    report, done = reporter(progress), 0
    for slab in slabs(data, dtype):
        write(slab.reshape(-1).view(np.uint8).data)
        done += slab.nbytes
        report(done, total)


def reporter(progress: bool | Progress | None) -> Progress:
    """Return a function of (done, total): the caller's, one that prints a line, or none."""
    if callable(progress):
        return progress

    def silent(done: int, total: int, /) -> None:
        pass

    def line(done: int, total: int, /) -> None:
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{100 * done // max(total, 1):3d}% of {total:,} bytes{end}")
        sys.stderr.flush()

    return line if progress else silent
