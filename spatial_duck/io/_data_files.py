"""Raw voxels in one or several files that a header names, in NRRD and MetaImage.

What a header can say is the same in both: one name, a printf-like pattern with a range, or a list.
Each of several files holds the same number of voxels, and one after the other they are the image.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io import _safety as safety
from spatial_duck.io._identity import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["RawFiles", "check_count", "names_of_pattern", "voxel_loader"]

#: One field for an integer, as printf spells it, and no other.
_FIELD = re.compile(r"%(0?\d{0,2})[diu]")
_MOST_FILES = 1 << 20


class RawFiles(NamedTuple):
    """Where voxels are.

    Attributes
    ----------
    paths : tuple of Path
        The files, in the order of the voxels.
    dtype : dtype
        As it is stored.
    shape : tuple of int
        Shape of the whole, slowest axis first.
    offsets : tuple of int
        Bytes before the (compressed) voxels of each file; -1 where the voxels are the file's end.
    compression : {"gzip", "zlib", "bzip2"} or None
        Compression of each file.
    skip : int
        Bytes to leave out of what is unpacked; -1 where the voxels are the end of it.
    """

    paths: tuple[Path, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offsets: tuple[int, ...]
    compression: str | None = None
    skip: int = 0


def names_of_pattern(header: object, words: Sequence[str]) -> tuple[list[str], int | None]:
    """Return the file names of a pattern, and the dimension of what each file holds.

    Parameters
    ----------
    header : Path
        For messages.
    words : sequence of str
        Pattern, first number, last number, step and, where it is given, the dimension.

    Examples
    --------
    >>> names_of_pattern("a.nhdr", ["s%02d.raw", "8", "10", "1"])
    (['s08.raw', 's09.raw', 's10.raw'], None)
    """
    pattern, *numbers = words
    fields = pattern.replace("%%", "")
    try:
        values = [int(word) for word in numbers]
    except ValueError:
        values = []
    if len(values) not in (3, 4) or fields.count("%") != 1 or not _FIELD.search(fields):
        raise FormatError(
            f"{header}: a pattern of data files needs one %d and first, last and step, got "
            f"{' '.join(words)[:80]!r}"
        )
    first, last, step = values[:3]
    if step == 0 or (last - first) * step < 0 or abs(last - first) // abs(step) >= _MOST_FILES:
        raise FormatError(
            f"{header}: the numbers of a pattern must run from first to last in steps, at most "
            f"{_MOST_FILES:,} of them, got {first} to {last} in steps of {step}"
        )
    count = (last - first) // step + 1
    form = _FIELD.sub(lambda m: f"%{m[1]}d", pattern)
    return [form % (first + step * k) for k in range(count)], values[3] if values[3:] else None


def check_count(header: Path, sizes: Sequence[int], count: int, dimension: int | None) -> None:
    """Refuse a number of data files that the sizes do not ask for.

    Parameters
    ----------
    header : Path
        For messages.
    sizes : sequence of int
        Lengths of the image, fastest axis first.
    count : int
        Number of files.
    dimension : int or None
        Of what each holds; by default one less than the image's, a slice. The image's own: a slab,
        some slices.
    """
    n = len(sizes)
    held = n - 1 if dimension is None else dimension
    if not 1 <= held <= n:
        raise FormatError(f"{header}: each data file must hold 1 to {n} axes, got {held}")
    wanted = int(np.prod(sizes[held:], dtype=object))
    fits = count and sizes[n - 1] % count == 0 if held == n else count == wanted
    if not fits:
        what = f"a divisor of {sizes[n - 1]}" if held == n else str(wanted)
        raise FormatError(
            f"{header}: sizes {' '.join(map(str, sizes))} in files of {held} axes each need "
            f"{what} data files, got {count}"
        )


def voxel_loader(raw: RawFiles) -> Callable[[bool | None], Any]:
    """Check that each file can hold its voxels, and return the function that reads them.

    Parameters
    ----------
    raw : RawFiles
        Where they are.

    Returns
    -------
    callable
        ``load(lazy)`` as `spatial_duck.io._source.Source` has it. Voxels in one raw file are
        mapped; those in several are read, or with ``lazy=True`` a Dask array of a block a file.

    Raises
    ------
    FormatError, UnsafeInputError
        If a file is too short.
    """
    part = _part_shape(raw)
    needed = safety.count_bytes(part, raw.dtype)
    offsets = []
    for path, offset in zip(raw.paths, raw.offsets, strict=True):
        start = path.stat().st_size - needed if offset == -1 else offset
        safety.check_size(path, needed, start, raw.compression)
        offsets.append(start)
    raw = raw._replace(offsets=tuple(offsets))

    def read() -> NDArray[Any]:
        if len(raw.paths) == 1:
            return _read_part(raw, part, 0).reshape(raw.shape)
        safety.check_memory(raw.paths[0], safety.count_bytes(raw.shape, raw.dtype))
        out = np.empty((len(raw.paths), *part), raw.dtype)
        for number in range(len(raw.paths)):
            out[number] = _read_part(raw, part, number)
        return out.reshape(raw.shape)

    def load(lazy: bool | None) -> Any:
        if lazy is False or (lazy is None and (raw.compression or len(raw.paths) > 1)):
            return read()
        if len(raw.paths) > 1:
            return _stack_blocks(raw, part)
        if raw.compression is None:
            return safety.map_raw(raw.paths[0], raw.dtype, raw.shape, raw.offsets[0])
        return None

    return load


def _read_part(raw: RawFiles, part: tuple[int, ...], number: int) -> NDArray[Any]:
    """Read what one of the files holds."""
    path = raw.paths[number]
    with safety.open_stream(path, raw.offsets[number], raw.compression) as stream:
        if raw.skip == -1:
            return _read_end(stream, path, raw.dtype, part)
        return safety.read_stream(stream, path, raw.dtype, part, raw.skip)


class _ReadBlock(NamedTuple):
    """Reads what a file holds, one of several, if it is still the one that was opened."""

    raw: RawFiles
    part: tuple[int, ...]
    identity: Identity

    def __call__(self) -> NDArray[Any]:
        voxels = _read_part(self.raw, self.part, 0)
        self.identity.check()
        return voxels


def _part_shape(raw: RawFiles) -> tuple[int, ...]:
    """Return the shape of what each file holds: some slices, or a part of one."""
    left, shape = len(raw.paths), list(raw.shape)
    while left > 1 and shape:
        if shape[0] % left == 0:
            shape[0], left = shape[0] // left, 1
        else:
            left //= shape.pop(0)
    return tuple(shape)


def _stack_blocks(raw: RawFiles, part: tuple[int, ...]) -> Any:
    """Return a Dask array of one block for each file."""
    da = require("dask.array", "Reading with lazy=True")
    dask = require("dask", "Reading with lazy=True")
    readers = [
        _ReadBlock(raw._replace(paths=(path,), offsets=(offset,)), part, Identity.of([path]))
        for path, offset in zip(raw.paths, raw.offsets, strict=True)
    ]
    blocks = [da.from_delayed(dask.delayed(reader)(), part, raw.dtype) for reader in readers]
    if len(part) == len(raw.shape):
        return da.concatenate(blocks)
    return da.stack(blocks).reshape(raw.shape)


def _read_end(
    stream: Any, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Return the voxels at the end of a stream, which a header may precede."""
    needed, most = safety.count_bytes(shape, dtype), 1 << 20
    safety.check_memory(path, needed + most)
    held = bytearray()
    try:
        while piece := stream.read(1 << 20):
            held += piece
            if len(held) > needed + most:
                raise UnsafeInputError(
                    f"{path}: more than {most:,} bytes stand before the {needed:,} bytes of voxels "
                    "that the header declares; its header is wrong"
                )
    except (EOFError, OSError) as error:
        raise FormatError(f"{path}: its compressed voxels cannot be read: {error}") from error
    if len(held) < needed:
        raise FormatError(f"{path}: it ends after {len(held):,} of {needed:,} bytes of voxels")
    return np.frombuffer(held[len(held) - needed :], dtype).reshape(shape)
