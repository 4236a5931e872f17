"""Codecs of Zarr's chunks, decoded into no more room than a chunk must have.

Compressed bytes say how long they become, or become as long as they like: a few kilobytes may be
gigabytes of zeros. A chunk's length is known before it is decoded, so `Chain.decode` refuses what
would be longer, before any memory is taken for it. NumCodecs and zlib do the work; chains with a
codec that is not in `STAGES` are left to zarr.

Needs numcodecs, which zarr brings.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Bytes = Any  # whatever has a buffer of bytes

__all__ = ["STAGES", "Chain", "Stage", "chain_of"]


class Stage(NamedTuple):
    """A codec from bytes to bytes."""

    encode: Callable[[Bytes], Bytes]
    #: Takes the bytes and how many may come of them.
    decode: Callable[[Bytes, int], Bytes]


class Chain(NamedTuple):
    """How the values of a chunk become the bytes of a file.

    Attributes
    ----------
    shape : tuple of int
        Shape of a chunk, in the axis order of the array.
    dtype : dtype
        As stored.
    order : tuple of int
        The array's axes in the order in which they are stored.
    stages : tuple of Stage
        In the order of encoding.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: tuple[int, ...]
    stages: tuple[Stage, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of a whole chunk, decoded."""
        return self.dtype.itemsize * math.prod(self.shape)

    def encode(self, values: NDArray[Any]) -> Bytes:
        """Return the bytes of a whole chunk."""
        data: Any = np.ascontiguousarray(values.transpose(self.order), self.dtype)
        for stage in self.stages:
            data = stage.encode(data)
        return memoryview(data).cast("B")

    def decode(self, data: Bytes) -> NDArray[Any]:
        """Return the values of a whole chunk.

        Raises
        ------
        ValueError, RuntimeError, EOFError, zlib.error
            If the bytes are not those of such a chunk.
        """
        stored = [self.shape[a] for a in self.order]
        size = self.nbytes
        for n, stage in reversed(list(enumerate(self.stages))):
            # Compressing what cannot be compressed makes it somewhat longer.
            data = stage.decode(data, size if n == 0 else 2 * size + 4096)
        if memoryview(data).nbytes != size:
            raise _longer(memoryview(data).nbytes, size)
        values = np.frombuffer(data, self.dtype).reshape(stored)
        return values.transpose(np.argsort(self.order))


def _longer(found: int, most: int) -> ValueError:
    return ValueError(f"its bytes become {found:,} where the chunk has {most:,}")


# --- stages -------------------------------------------------------------------------------


def _declared(codec: Any, length: Callable[[Bytes], int | None]) -> Stage:
    """Return the stage of a codec of NumCodecs whose bytes say how long they become."""

    def decode(data: Bytes, most: int) -> Bytes:
        found = length(data)
        if found is None:  # it does not say, or it is not this codec's, which then says so itself
            return codec.decode(data)
        if found > most:
            raise _longer(found, most)
        return codec.decode(data, np.empty(found, "u1"))

    return Stage(codec.encode, decode)


def _is_zstd(data: Bytes) -> bool:
    return len(data) > 5 and bytes(data[:4]) == b"\x28\xb5\x2f\xfd"


def _zstd_length(data: Bytes) -> int | None:
    """Return the length that a frame of zstd declares (RFC 8878, 3.1.1.1), if it is one."""
    if not _is_zstd(data):
        return None
    flags = data[4]
    single = flags >> 5 & 1
    size = (single, 2, 4, 8)[flags >> 6]
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    return int.from_bytes(data[at : at + size], "little") + 256 * (size == 2) if size else None


def _zstd_most(data: Bytes) -> int:
    """Return how long the blocks of a frame of zstd may become, at most 128 KiB each."""
    single = data[4] >> 5 & 1
    at, most = 5 + (not single) + (0, 1, 2, 4)[data[4] & 3], 0
    while at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        most += 1 << 17
        if header & 1:
            break
    return most


def _zstd(codec: Any) -> Stage:
    declared = _declared(codec, _zstd_length)

    def decode(data: Bytes, most: int) -> Bytes:
        if _is_zstd(data) and _zstd_length(data) is None:
            # Its writer did not know. Blocks are full but where it flushed: some slack for those.
            blocks = _zstd_most(data)
            if blocks > 16 * most + (1 << 24):
                raise _longer(blocks, most)
        return declared.decode(data, most)

    return Stage(codec.encode, decode)


def _blosc_length(data: Bytes) -> int:
    # The header of Blosc 1: version, ..., then the lengths of the data, of a block, of all.
    if len(data) < 16 or int.from_bytes(data[12:16], "little") != len(data):
        raise ValueError("its length is not the one that its Blosc header says")
    return int.from_bytes(data[4:8], "little")


def _lz4_length(data: Bytes) -> int | None:
    return int.from_bytes(data[:4], "little") if len(data) > 4 else None


def _deflate(codec: Any) -> Stage:
    """Return the stage of gzip or zlib."""

    def encode(data: Bytes) -> Bytes:
        # zlib's own gzip header holds no time, so that the same values have the same bytes.
        bits = 31 if codec.codec_id == "gzip" else 15
        packer = zlib.compressobj(codec.level, wbits=bits)
        return packer.compress(data) + packer.flush()

    def decode(data: Bytes, most: int) -> Bytes:
        pieces, left = [], most
        rest = bytes(data)
        while rest:
            unpacker = zlib.decompressobj(wbits=47)
            piece = unpacker.decompress(rest, left + 1)
            if len(piece) > left:
                raise _longer(most + 1, most)
            if not unpacker.eof:
                raise EOFError("its compressed bytes end too early")
            pieces.append(piece)
            left -= len(piece)
            rest = unpacker.unused_data.lstrip(b"\0")  # gzip files may be padded
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return Stage(encode, decode)


def _crc32c(_: Any) -> Stage | None:
    try:
        from google_crc32c import value
    except ImportError:
        return None

    def encode(data: Bytes) -> Bytes:
        plain = np.frombuffer(data, "u1")  # google_crc32c takes no memoryview
        return b"".join((plain, value(plain).to_bytes(4, "little")))

    def decode(data: Bytes, most: int) -> Bytes:
        plain = np.frombuffer(data, "u1")[:-4]
        found, stored = value(plain), int.from_bytes(memoryview(data)[-4:], "little")
        if found != stored:
            raise ValueError(f"its checksum is {found:08x}, and {stored:08x} was written")
        if plain.size > most:
            raise _longer(plain.size, most)
        return plain

    return Stage(encode, decode)


#: By the names of formats 2 and 3; from a codec of NumCodecs, which crc32c does not need.
STAGES: dict[str, Callable[[Any], Stage | None]] = {
    "blosc": lambda codec: _declared(codec, _blosc_length),
    "crc32c": _crc32c,
    "gzip": _deflate,
    "lz4": lambda codec: _declared(codec, _lz4_length),
    "zlib": _deflate,
    "zstd": _zstd,
}

_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


def _numcodec(name: str, given: Mapping[str, Any]) -> Any:
    """Return the codec of NumCodecs for the name and configuration of format 3."""
    import numcodecs

    if name == "blosc":
        options = {k: given[k] for k in ("cname", "clevel", "blocksize") if k in given}
        return numcodecs.Blosc(**options, shuffle=_SHUFFLES[given["shuffle"]])
    if name == "zstd":
        return numcodecs.Zstd(level=given["level"], checksum=given.get("checksum", False))
    return numcodecs.GZip(level=given["level"]) if name == "gzip" else None


def chain_of(
    codecs: Sequence[Mapping[str, Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Chain | None:
    """Return the chain of codecs of format 3, or None where one is not known here.

    Parameters
    ----------
    codecs : sequence of mapping
        Names and configurations, as in the array's metadata.
    shape : tuple of int
        Shape of a chunk.
    dtype : dtype
        Data type of the array.
    """
    order = tuple(range(len(shape)))
    stages: list[Stage] = []
    stored = None
    for codec in codecs:
        name, given = codec["name"], codec.get("configuration") or {}
        if stored is None and name == "transpose":
            order = tuple([order[a] for a in given["order"]])
        elif stored is None and name == "bytes":
            stored = dtype.newbyteorder(given.get("endian") or "=")
        elif stored is None or name not in STAGES or name in ("lz4", "zlib"):
            return None
        elif name == "blosc" and (stages or given.get("typesize") not in (None, dtype.itemsize)):
            return None  # NumCodecs takes the size of elements from the array
        else:
            stage = STAGES[name](_numcodec(name, given))
            if stage is None:
                return None
            stages.append(stage)
    return None if stored is None else Chain(shape, stored, order, tuple(stages))
