"""Chunks, shards and codecs of the arrays in an OME-Zarr, as given by the user or by default."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from spatial_duck.errors import FormatError
from spatial_duck.io._option_values import axis_lengths
from spatial_duck.io.ngff._axes import axis_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spatial_duck.geometry import Geometry

__all__ = ["ChunkLayout", "default_chunks"]

#: Length of chunks along each space axis, by the number of space axes.
_CHUNK = {1: 1 << 20, 2: 1024, 3: 96}
#: More than `_MANY_CHUNKS` chunks of fewer bytes than `_SMALL_CHUNK` are stored in shards of about
#: `_SHARD` bytes.
_SMALL_CHUNK, _MANY_CHUNKS, _SHARD = 1 << 17, 1000, 1 << 23


class ChunkLayout:
    """Chunks and shards of the array of a level.

    Parameters
    ----------
    g : Geometry
        Geometry of the level.
    dtype : dtype
        Type of its voxels.
    chunks, shards
        As the user gave them.
    version : str
        Version of OME-Zarr.
    source : tuple of tuple of int, or None
        Chunks of the image that is written.
    """

    def __init__(
        self, g: Geometry, dtype: Any, chunks: Any, shards: Any, version: str, source: Any
    ) -> None:
        self.geometry, self.dtype, self.version = g, dtype, version
        self.chunks = axis_lengths("chunks", chunks, g, default_chunks(g, source))
        self.shards = self._shards(shards)

    @property
    def written(self) -> tuple[int, ...]:
        """Lengths of the units of writing: shards, or chunks without shards."""
        return self.shards or self.chunks

    def count_files(self) -> int:
        """Return the number of chunk files of the complete array."""
        return math.prod(-(-n // c) for n, c in zip(self.geometry.shape, self.written, strict=True))

    def _shards(self, shards: Any) -> tuple[int, ...] | None:
        g, size = self.geometry, self.dtype.itemsize * math.prod(self.chunks)
        if shards is False or (shards is None and self.version == "0.4"):
            return None
        if shards is not None and self.version == "0.4":
            raise FormatError("OME-Zarr 0.4 has no shards, which must be False, or version 0.5")
        if shards not in (None, True):
            wanted = axis_lengths("shards", shards, g, self.chunks)
        else:
            many = math.prod(-(-n // c) for n, c in zip(g.shape, self.chunks, strict=True))
            if shards is None and (size >= _SMALL_CHUNK or many <= _MANY_CHUNKS):
                return None
            spread = [c if n > c else 0 for n, c in zip(g.shape, self.chunks, strict=True)]
            times = max(2, round((_SHARD / size) ** (1 / max(1, sum(map(bool, spread))))))
            wanted = tuple(times * s or c for s, c in zip(spread, self.chunks, strict=True))
        # Shards hold whole chunks, and no more of them than there are.
        return tuple(
            c * max(1, min(-(-w // c), -(-n // c)))
            for n, w, c in zip(g.shape, wanted, self.chunks, strict=True)
        )

    def create(self, path: Path) -> None:
        """Create the Zarr array, without any chunk."""
        import zarr

        common = {
            "shape": self.geometry.shape,
            "dtype": self.dtype,
            "chunks": self.chunks,
            "fill_value": 0,
        }
        if self.version == "0.4":
            import numcodecs

            zarr.create_array(
                path,
                zarr_format=2,
                # Every reader of format 2 supports gzip, which has a checksum (CRC-32).
                compressors=numcodecs.GZip(level=1),
                chunk_key_encoding={"name": "v2", "separator": "/"},
                **common,
            )
            return
        from zarr.codecs import BloscCodec, Crc32cCodec

        zarr.create_array(
            path,
            zarr_format=3,
            shards=self.shards,
            # Several times as fast as zstd on images and labels, and no larger on images.
            compressors=(BloscCodec(cname="lz4", shuffle="bitshuffle"), Crc32cCodec()),
            dimension_names=list(axis_names(self.geometry)),
            **common,
        )


def default_chunks(g: Geometry, source: Any = None) -> tuple[int, ...]:
    """Return lengths near the usual ones that are multiples or divisors of the source's chunks."""
    space = [name in ("x", "y", "z") for name in g.dims]
    usual = _CHUNK.get(sum(space), 96)
    return tuple(
        _near_usual(usual, source[axis] if source else ()) if is_space else 1
        for axis, is_space in enumerate(space)
    )


def _near_usual(usual: int, chunks: Sequence[int]) -> int:
    """Return a multiple or a divisor of the length of chunks, near the usual length.

    Examples
    --------
    >>> [_near_usual(96, (n, n, 7)) for n in (1, 10, 64, 128, 512, 97)]
    [96, 100, 128, 128, 128, 97]
    """
    first = chunks[0] if chunks else 0
    if not first or len(chunks) < 2 or any(c != first for c in chunks[:-1]):
        return usual
    if first <= usual:
        return first * max(1, round(usual / first))
    parts = [first // k for k in range(1, first + 1) if first % k == 0]
    best = min(parts, key=lambda c: abs(math.log(c / usual)))
    return best if usual / 2 <= best <= 2 * usual else usual
