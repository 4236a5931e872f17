"""Codecs of Zarr's chunks, decoded into no more memory than a chunk has bytes.

A few kilobytes of compressed data may become gigabytes of zeros. The length of a chunk is known
before it is decoded, so `Codecs.decode` refuses data that would become longer, before memory is
allocated for them. NumCodecs and zlib do the work; arrays with a codec that is not in
`BYTES_CODECS` are left to zarr.

Needs numcodecs, a dependency of zarr.
"""

from __future__ import annotations

import bz2
import math
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Bytes = Any  # whatever has a buffer of bytes

__all__ = ["BYTES_CODECS", "BytesCodec", "Codecs", "find_codecs"]


class BytesCodec(NamedTuple):
    """A codec from bytes to bytes."""

    encode: Callable[[Bytes], Bytes]
    #: Takes the bytes, and the most bytes that they may become.
    decode: Callable[[Bytes, int], Bytes]


class Codecs(NamedTuple):
    """The codecs of an array, which turn the values of a chunk into bytes.

    Attributes
    ----------
    shape : tuple of int
        Shape of a chunk, in the axis order of the array.
    dtype : dtype
        Data type as it is stored, with its byte order.
    order : tuple of int
        The array's axes in the order in which they are stored.
    bytes_codecs : tuple of BytesCodec
        In the order of encoding.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: tuple[int, ...]
    bytes_codecs: tuple[BytesCodec, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of a whole chunk, decoded."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def most_bytes(self) -> int:
        """Most bytes of a whole chunk, encoded: what cannot be compressed becomes longer."""
        return 2 * self.nbytes + 4096

    def encode(self, values: NDArray[Any]) -> Bytes:
        """Return the bytes of a whole chunk."""
        data: Any = np.ascontiguousarray(values.transpose(self.order), self.dtype)
        for codec in self.bytes_codecs:
            data = codec.encode(data)
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
        for n, codec in reversed(list(enumerate(self.bytes_codecs))):
            data = codec.decode(data, size if n == 0 else self.most_bytes)
        if memoryview(data).nbytes != size:
            raise _too_long_error(memoryview(data).nbytes, size)
        values = np.frombuffer(data, self.dtype).reshape(stored)
        return values.transpose(np.argsort(self.order))


def _too_long_error(found: int, limit: int) -> ValueError:
    return ValueError(f"its bytes become {found:,} where the chunk has {limit:,}")


# --- Codecs from bytes to bytes -----------------------------------------------------------


def _with_declared_length(codec: Any, length: Callable[[Bytes], int | None]) -> BytesCodec:
    """Wrap a codec of NumCodecs whose bytes declare their decoded length."""

    def decode(data: Bytes, limit: int) -> Bytes:
        n_bytes = length(data)
        if n_bytes is None:  # not declared, or not bytes of this codec, which then raises
            return codec.decode(data)
        if n_bytes > limit:
            raise _too_long_error(n_bytes, limit)
        return codec.decode(data, np.empty(n_bytes, "u1"))

    return BytesCodec(codec.encode, decode)


def _is_zstd(data: Bytes) -> bool:
    return len(data) > 5 and bytes(data[:4]) == b"\x28\xb5\x2f\xfd"


def _zstd_length(data: Bytes) -> int | None:
    """Return the length that a frame of zstd declares (RFC 8878, 3.1.1.1), if it is one."""
    if not _is_zstd(data):
        return None
    flags = data[4]
    is_single_segment = flags >> 5 & 1
    size = (is_single_segment, 2, 4, 8)[flags >> 6]
    start = 5 + (not is_single_segment) + (0, 1, 2, 4)[flags & 3]
    if not size:
        return None
    return int.from_bytes(data[start : start + size], "little") + 256 * (size == 2)


def _zstd_max_length(data: Bytes) -> int:
    """Return the most bytes that a frame of zstd may become: 128 KiB for each of its blocks."""
    is_single_segment = data[4] >> 5 & 1
    start, total = 5 + (not is_single_segment) + (0, 1, 2, 4)[data[4] & 3], 0
    while start + 3 <= len(data):
        header = int.from_bytes(data[start : start + 3], "little")
        start += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        total += 1 << 17
        if header & 1:
            break
    return total


def _zstd(codec: Any) -> BytesCodec:
    wrapped = _with_declared_length(codec, _zstd_length)

    def decode(data: Bytes, limit: int) -> Bytes:
        if _is_zstd(data) and _zstd_length(data) is None:
            # Written as a stream. Blocks are full except where the writer flushed: allow for those.
            max_length = _zstd_max_length(data)
            if max_length > 16 * limit + (1 << 24):
                raise _too_long_error(max_length, limit)
        return wrapped.decode(data, limit)

    return BytesCodec(codec.encode, decode)


def _blosc_length(data: Bytes) -> int:
    # The header of Blosc 1: four bytes, then the lengths of the data, of a block, of all bytes.
    if len(data) < 16 or int.from_bytes(data[12:16], "little") != len(data):
        raise ValueError("its length is not the one in its Blosc header")
    return int.from_bytes(data[4:8], "little")


def _lz4_length(data: Bytes) -> int | None:
    return int.from_bytes(data[:4], "little") if len(data) > 4 else None


def _deflate(codec: Any) -> BytesCodec:
    """Return the codec of gzip or zlib."""

    def encode(data: Bytes) -> Bytes:
        # zlib's own gzip header holds no time, so that the same values have the same bytes.
        bits = 31 if codec.codec_id == "gzip" else 15
        compressor = zlib.compressobj(codec.level, wbits=bits)
        return compressor.compress(data) + compressor.flush()

    def decode(data: Bytes, limit: int) -> Bytes:
        members, remaining = [], limit
        rest = bytes(data)
        while rest:
            decompressor = zlib.decompressobj(wbits=47)
            member = decompressor.decompress(rest, remaining + 1)
            if len(member) > remaining:
                raise _too_long_error(limit + 1, limit)
            if not decompressor.eof:
                raise EOFError("its compressed bytes end too early")
            members.append(member)
            remaining -= len(member)
            rest = decompressor.unused_data.lstrip(b"\0")  # gzip files may be padded
        return members[0] if len(members) == 1 else b"".join(members)

    return BytesCodec(encode, decode)


def _bz2_or_lzma(codec: Any) -> BytesCodec:
    """Return a codec whose bytes declare no length."""

    def decompressor() -> Any:
        if codec.codec_id == "bz2":
            return bz2.BZ2Decompressor()
        import lzma  # which some builds of Python lack

        return lzma.LZMADecompressor(codec.format, filters=codec.filters)

    def decode(data: Bytes, limit: int) -> Bytes:
        out, rest = b"", bytes(data)
        while rest:
            stream = decompressor()
            try:
                out += stream.decompress(rest, limit + 1 - len(out))
            except Exception as error:  # lzma's own error is none of Python's kinds
                raise ValueError(f"its compressed bytes are not valid: {error}") from error
            if len(out) > limit:
                raise _too_long_error(limit + 1, limit)
            if not stream.eof:
                raise EOFError("its compressed bytes end too early")
            rest = stream.unused_data
        return out

    return BytesCodec(codec.encode, decode)


def _crc32c(_: Any) -> BytesCodec | None:
    try:
        from google_crc32c import value
    except ImportError:
        return None

    def encode(data: Bytes) -> Bytes:
        plain = np.frombuffer(data, "u1")  # google_crc32c takes no memoryview
        return b"".join((plain, value(plain).to_bytes(4, "little")))

    def decode(data: Bytes, limit: int) -> Bytes:
        plain = np.frombuffer(data, "u1")[:-4]
        actual, stored = value(plain), int.from_bytes(memoryview(data)[-4:], "little")
        if actual != stored:
            raise ValueError(f"its checksum is {actual:08x}, and {stored:08x} was written")
        if plain.size > limit:
            raise _too_long_error(plain.size, limit)
        return plain

    return BytesCodec(encode, decode)


#: By names of Zarr formats 2 and 3: functions of a codec of NumCodecs, which crc32c ignores.
BYTES_CODECS: dict[str, Callable[[Any], BytesCodec | None]] = {
    "bz2": _bz2_or_lzma,
    "blosc": lambda codec: _with_declared_length(codec, _blosc_length),
    "crc32c": _crc32c,
    "gzip": _deflate,
    "lz4": lambda codec: _with_declared_length(codec, _lz4_length),
    "lzma": _bz2_or_lzma,
    "zlib": _deflate,
    "zstd": _zstd,
}

_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


def _make_numcodec(name: str, config: Mapping[str, Any]) -> Any:
    """Return the codec of NumCodecs for a name and configuration of Zarr format 3."""
    import numcodecs

    if name == "blosc":
        options = {k: config[k] for k in ("cname", "clevel", "blocksize") if k in config}
        return numcodecs.Blosc(**options, shuffle=_SHUFFLES[config["shuffle"]])
    if name == "zstd":
        return numcodecs.Zstd(level=config["level"], checksum=config.get("checksum", False))
    return numcodecs.GZip(level=config["level"]) if name == "gzip" else None


def find_codecs(
    codecs: Sequence[Mapping[str, Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Codecs | None:
    """Return the codecs of an array of Zarr format 3, or None where one is not supported.

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
    bytes_codecs: list[BytesCodec] = []
    stored = None
    for codec in codecs:
        name, config = codec["name"], codec.get("configuration") or {}
        if stored is None and name == "transpose":
            order = tuple([order[a] for a in config["order"]])
        elif stored is None and name == "bytes":
            stored = dtype.newbyteorder(config.get("endian") or "=")
        elif stored is None or name not in BYTES_CODECS or name in ("bz2", "lz4", "lzma", "zlib"):
            return None
        elif name == "blosc" and (
            bytes_codecs or config.get("typesize") not in (None, dtype.itemsize)
        ):
            return None  # NumCodecs takes the size of elements from the array
        else:
            bytes_codec = BYTES_CODECS[name](_make_numcodec(name, config))
            if bytes_codec is None:
                return None
            bytes_codecs.append(bytes_codec)
    return None if stored is None else Codecs(shape, stored, order, tuple(bytes_codecs))
