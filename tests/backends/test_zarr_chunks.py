"""What is read and written past zarr's pipeline is what zarr reads and writes."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
import tempfile
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")

from zarr.codecs import (  # noqa: E402
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    TransposeCodec,
    ZstdCodec,
)  # fmt: skip

import spatial_duck as sd  # noqa: E402
from spatial_duck.backends.zarr import _chunks as zarr_chunks  # noqa: E402
from spatial_duck.backends.zarr import _codecs as zarr_codecs  # noqa: E402
from spatial_duck.backends.zarr._view import ZarrView  # noqa: E402

CHAINS_3: list[Any] = [
    None, ZstdCodec(level=0), ZstdCodec(level=3, checksum=True), GzipCodec(level=1),
    BloscCodec(cname="lz4", shuffle="bitshuffle"), BloscCodec(cname="zstd", shuffle="noshuffle"),
    Crc32cCodec(), (ZstdCodec(), Crc32cCodec()), (Crc32cCodec(), GzipCodec()),
    (BloscCodec(cname="lz4"), Crc32cCodec()),
]  # fmt: skip
CHAINS_2: list[Any] = [
    None, numcodecs.Zstd(), numcodecs.Blosc(), numcodecs.GZip(level=1), numcodecs.Zlib(),
    numcodecs.LZ4(), numcodecs.Blosc("zstd", shuffle=0),
]  # fmt: skip
#: Left to zarr.
FOREIGN: list[Any] = [numcodecs.BZ2(), numcodecs.LZMA()]


@st.composite
def arrays(draw: st.DrawFn, folder: str, foreign: bool = False) -> Any:
    ndim = draw(st.integers(1, 3))
    shape = draw(st.tuples(*[st.integers(1, 9)] * ndim))
    chunks = draw(st.tuples(*[st.integers(1, 5)] * ndim))
    dtype = np.dtype(draw(st.sampled_from(["?", "u1", "<i2", ">i2", "<u4", "<f4", ">f8", "<c8"])))
    options: dict[str, Any] = {
        "shape": shape, "chunks": chunks, "dtype": dtype, "fill_value": draw(st.integers(0, 1)),
        "config": {"write_empty_chunks": draw(st.booleans())},
    }  # fmt: skip
    if draw(st.booleans()):
        options["zarr_format"] = 2
        options["compressors"] = draw(st.sampled_from(FOREIGN if foreign else CHAINS_2))
        options["filters"] = None
        options["order"] = draw(st.sampled_from("CF"))
        options["chunk_key_encoding"] = {
            "name": "v2", "separator": draw(st.sampled_from("./"))}  # fmt: skip
    else:
        if draw(st.booleans()):
            options["shards"] = tuple(c * draw(st.integers(1, 3)) for c in chunks)
        if draw(st.booleans()):
            options["filters"] = TransposeCodec(order=draw(st.permutations(range(ndim))))
        options["serializer"] = BytesCodec(endian=draw(st.sampled_from(["little", "big"])))
        options["compressors"] = draw(st.sampled_from(CHAINS_3))
    return zarr.create_array(tempfile.mkdtemp(dir=folder), **options)


def _values(array: Any, seed: int) -> np.ndarray:
    # Runs of equal values, so that some chunks are all fill.
    values = np.random.default_rng(seed).integers(0, 3, array.shape) * (seed % 3)
    return values.astype(array.dtype)


def _boxes(draw: st.DrawFn, array: Any) -> tuple[Any, ...]:
    ask: list[Any] = []
    for n in array.shape:
        start = draw(st.integers(0, n - 1))
        if draw(st.integers(0, 3)) == 0:
            ask.append(start)
        else:
            ask.append(slice(start, draw(st.integers(start + 1, n)), draw(st.integers(1, 4))))
    return tuple(ask)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")
@given(data=st.data(), seed=st.integers(0, 99))
def test_it_reads_and_writes_as_zarr_does(
    data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = str(tmp_path_factory.mktemp("a"))
    array = data.draw(arrays(folder))
    values = _values(array, seed)
    whole = tuple(slice(0, n) for n in array.shape)
    with mock.patch.object(type(array), "__getitem__", side_effect=AssertionError("zarr reads")):
        zarr_chunks.write(array, whole, values)
        if array.config.write_empty_chunks:
            found = zarr_chunks.read(array, whole)
            assert found.dtype == values.dtype
            assert found.flags.writeable
            np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(array[...], values)  # as zarr reads it
    files = {p.relative_to(array.store_path.store.root) for p in
             Path(array.store_path.store.root).rglob("*") if p.is_file()}  # fmt: skip
    array[...] = _values(array, seed + 1)
    ask = data.draw(st.composite(_boxes)(array))
    wanted = array[ask]
    loaded, load = [], zarr_chunks._ChunkFiles.load
    with mock.patch.object(
        zarr_chunks._ChunkFiles, "load", lambda self, n: (loaded.append(n), load(self, n))[1]
    ):
        np.testing.assert_array_equal(zarr_chunks.read(array, ask), wanted)
    met = [{i // c for i in np.atleast_1d(np.arange(n)[a])}
           for a, n, c in zip(ask, array.shape, array.chunks, strict=True)]  # fmt: skip
    assert sorted(loaded) == sorted(itertools.product(*met))  # each once, and no other
    array[...] = values
    again = {p.relative_to(array.store_path.store.root) for p in
             Path(array.store_path.store.root).rglob("*") if p.is_file()}  # fmt: skip
    assert files == again  # chunks of fill values are left out where zarr leaves them out
    part = tuple(slice(a, a + 1) if isinstance(a, int) else slice(a.start, a.stop) for a in ask)
    values = values.copy()
    values[part] += np.ones((), array.dtype)
    zarr_chunks.write(array, part, values[part])
    np.testing.assert_array_equal(array[...], values)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")
@given(data=st.data())
def test_what_it_does_not_know_is_left_to_zarr(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = data.draw(arrays(str(tmp_path_factory.mktemp("a")), foreign=True))
    values = _values(array, 2)
    whole = tuple(slice(0, n) for n in array.shape)
    zarr_chunks.write(array, whole, values)
    np.testing.assert_array_equal(zarr_chunks.read(array, whole), values)
    memory = zarr.create_array({}, shape=(3,), chunks=(2,), dtype="i2")
    zarr_chunks.write(memory, (slice(0, 3),), np.arange(3, dtype="i2"))
    np.testing.assert_array_equal(zarr_chunks.read(memory, (slice(0, 3, 2),)), [0, 2])


# --- bytes that are not those of a chunk --------------------------------------------------

_LONG = 1 << 28


def _zstd_without_length(length: int) -> bytes:
    """Return zeros as a frame of zstd that does not say how many (RFC 8878, 3.1.1)."""
    # A window of 128 KiB, then blocks that repeat one byte.
    frame, blocks = b"\x28\xb5\x2f\xfd\x00\x38", -(-length // (1 << 17))
    for n in range(blocks):
        size = min(1 << 17, length - (n << 17))
        frame += (size << 3 | 1 << 1 | (n + 1 == blocks)).to_bytes(3, "little") + b"\0"
    return frame


BOMBS: dict[str, Any] = {
    "zstd": lambda: numcodecs.Zstd().encode(bytes(_LONG)),
    "zstd, no length": lambda: _zstd_without_length(_LONG),
    "blosc": lambda: numcodecs.Blosc("lz4").encode(bytes(_LONG)),
    "gzip": lambda: gzip.compress(bytes(_LONG), 1),
    "gzip, in parts": lambda: gzip.compress(bytes(1 << 20), 1) * 256,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("shards", [None, (8, 8)], ids=["chunk", "shard"])
def test_a_bomb_is_refused_before_it_takes_memory(name: str, shards: Any, tmp_path: Path) -> None:
    import tracemalloc

    codec = {"zstd": ZstdCodec(), "blosc": BloscCodec(cname="lz4"), "gzip": GzipCodec()}[
        name.split(",", maxsplit=1)[0]]  # fmt: skip
    array = zarr.create_array(tmp_path / "a", shape=(8, 8), chunks=(4, 4), shards=shards,
                              dtype="u2", compressors=codec)  # fmt: skip
    array[...] = 1
    bomb = BOMBS[name]()
    if shards:
        index = np.full((4, 2), (1 << 64) - 1, "<u8")
        index[1] = 0, len(bomb)
        (tmp_path / "a/c/0/0").write_bytes(bomb + bytes(zarr_chunks._CRC32C.encode(index)))
    else:
        (tmp_path / "a/c/0/1").write_bytes(bomb)
    image = sd.SpatialArray(zarr.open_array(tmp_path / "a", mode="r"))
    which = "c/0/0" if shards else "c/0/1"
    tracemalloc.start()
    try:
        with pytest.raises(sd.FormatError, match=f"'{which}'.*(become|longer|bytes)"):
            np.asarray(image[:4, 4:])
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert np.asarray(image[:4, :4]).sum() == (0 if shards else 16)


def test_frames_of_zstd_without_a_length_are_read(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a", shape=(512, 512), chunks=(512, 512), dtype="u2",
                              compressors=ZstdCodec())  # fmt: skip
    array[...] = 1
    (tmp_path / "a/c/0/0").write_bytes(_zstd_without_length(1 << 19))
    np.testing.assert_array_equal(zarr_chunks.read(array, (slice(0, 512),) * 2), 0)
    np.testing.assert_array_equal(array[...], 0)


@pytest.mark.parametrize("codec", [
    None, ZstdCodec(), BloscCodec(cname="lz4"), GzipCodec(), (ZstdCodec(), Crc32cCodec()),
])  # fmt: skip
def test_damage_is_told_and_nothing_else_is_raised(codec: Any, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a", shape=(8, 8), chunks=(4, 4), shards=(8, 8),
                              dtype="u2", compressors=codec)  # fmt: skip
    values = np.arange(64, dtype="u2").reshape(8, 8)
    array[...] = values
    file = tmp_path / "a/c/0/0"
    whole = file.read_bytes()
    view = ZarrView(zarr.open_array(tmp_path / "a", mode="r"))
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        cut = bytearray(whole[: rng.integers(0, len(whole))] if rng.random() < 0.3 else whole)
        for at in rng.integers(0, max(1, len(cut)), 3 if cut else 0):
            cut[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(bytes(cut))
        with contextlib.suppress(sd.FormatError):
            assert np.asarray(view).shape == (8, 8)
            continue
        refused += 1
    assert refused > 20  # the index has a checksum, whatever the chunks have


def test_checksums_are_those_of_zlib_and_zarr() -> None:
    stage = zarr_codecs.BYTES_CODECS["gzip"](numcodecs.GZip(level=1))
    assert stage is not None
    packed = stage.encode(np.arange(99, dtype="i2"))
    assert packed[4:8] == bytes(4)  # no time: the same bytes each day
    assert (
        gzip.decompress(packed)
        == zlib.decompress(packed, 31)
        == np.arange(99, dtype="i2").tobytes()
    )


@pytest.mark.parametrize("length", [1 << 41, (1 << 63) - 1, 1 << 70])
def test_chunks_that_nothing_holds_are_refused(length: int, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a", shape=(8, 8), chunks=(4, 4), dtype="u2",
                              zarr_format=2, compressors=numcodecs.GZip(level=1))  # fmt: skip
    array[...] = 1
    file = tmp_path / "a/.zarray"
    file.write_text(re.sub(r'"chunks": \[\s*4', f'"chunks": [{length}', file.read_text()))
    image = sd.SpatialArray(zarr.open_array(tmp_path / "a", mode="r"))
    with pytest.raises(sd.FormatError, match="cannot be decoded"):
        np.asarray(image[:, :2])
