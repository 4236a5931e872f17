"""What a reader makes of a file before it reads voxels, and how writers stream voxels out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from spatial_duck import backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["Progress", "Source", "reporter", "slab_keys", "slabs", "write_voxels"]

#: Bytes of voxels that a writer holds at once, at least one row of them.
SLAB_BYTES = 1 << 26


class Progress(Protocol):
    """What long work calls as it goes on."""

    def __call__(self, done: int, total: int, /) -> Any:
        """Take the bytes that are done and the bytes in all."""


class Source(NamedTuple):
    """An opened file whose voxels have not been read.

    Attributes
    ----------
    format : str
        Name of the format.
    geometry : Geometry
        Of the image.
    dtype : dtype
        Of the voxels as they will be read.
    attrs : dict
        Header fields that have no place in the geometry, under the format's name.
    load : callable
        ``load(lazy)`` returns the voxels. `lazy` None: mapped or chunked where that costs nothing,
        else in memory; True: never read before asked; False: in memory. For True it may return
        None, where there is nothing lazier than all of it: the file is then opened again, and
        loaded in memory, when the voxels are wanted.
    levels : int
        Number of resolutions in the file.
    coords : mapping, optional
        Facts about the indices of axes, as `SpatialArray` takes them.
    """

    format: str
    geometry: Geometry
    dtype: np.dtype[Any]
    attrs: dict[str, Any]
    load: Callable[[bool | None], Any]
    levels: int = 1
    coords: Mapping[str, Any] | None = None


def slab_keys(
    shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[tuple[int, ...], ...] | None = None
) -> Iterator[tuple[int | slice, ...]]:
    """Yield the keys of all voxels in the order of memory, slowest axis first, some at a time.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Of the slabs.
    chunks : tuple of tuple of int, optional
        Sizes of the array's chunks along each axis; slabs end with them where they can.
    """
    if 0 in shape:
        return
    axis, row = 0, dtype.itemsize
    for n in shape[1:]:
        row *= n
    # Axes before `axis` are walked one by one, so that a slab never exceeds the budget by much.
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
        Of any backend whose data are, or come, in the host's memory.
    dtype : dtype
        Of the slabs.
    """
    for key in slab_keys(tuple(data.shape), dtype, backends.chunks(data)):
        part = backends.to(backends.index(data, key), "numpy")
        yield np.ascontiguousarray(part, dtype=dtype)


def write_voxels(
    write: Callable[[Any], Any], data: Any, dtype: np.dtype[Any], progress: Any = None
) -> None:
    """Write all voxels through `write`, slowest axis first, telling `progress`."""
    total = dtype.itemsize * int(np.prod(data.shape, dtype=object))
    report, done = reporter(progress), 0
    for slab in slabs(data, dtype):
        write(slab.reshape(-1).view(np.uint8).data)
        done += slab.nbytes
        report(done, total)


def reporter(progress: bool | Progress | None) -> Progress:
    """Return what to call with (done, total): the caller's, a line on stderr, or nothing."""
    if callable(progress):
        return progress

    def silent(done: int, total: int, /) -> None:
        pass

    def line(done: int, total: int, /) -> None:
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{100 * done // max(total, 1):3d}% of {total:,} bytes{end}")
        sys.stderr.flush()

    return line if progress else silent
