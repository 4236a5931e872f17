"""Chunks whose bytes changed: an error of ours that names the chunk, however it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")
pytest.importorskip("dask.array", reason="needs dask")

STORES: dict[str, dict[str, Any]] = {
    "crc32c": {"version": "0.5", "shards": False},
    "crc32c in shards": {"version": "0.5", "shards": True},
    "gzip": {"version": "0.4"},
}
#: What others write: the codecs of `zarr.create_array`.
CODECS: dict[str, dict[str, Any]] = {
    "zstd": {"compressors": "auto"},
    "none, cut short": {"compressors": None},
    "blosc": {"compressors": zarr.codecs.BloscCodec(cname="lz4")},
}


def _damage(path: Path, cut: bool = False) -> None:
    """Change a byte in the middle of a file, or leave half of it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data[: len(data) // 2] if cut else data)


def _chunks(folder: Path) -> list[Path]:
    found = [p for p in folder.rglob("*") if p.is_file()]
    return sorted(p for p in found if not p.name.startswith((".z", "zarr")))


WAYS: dict[str, Any] = {
    "compute": lambda image: image.compute(),
    "asarray": np.asarray,
    "dask": lambda image: image.to("dask").compute(),
    "arithmetic": lambda image: (image + 1).compute(),
    "flipped": lambda image: image[::-1, :, 1:].compute(),
    "resample": lambda image: sd.resample(image, spacing=1.7).compute(),
    "chosen": lambda image: image[:, [0, 3, 15]].compute(),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("store", STORES)
def test_our_stores(store: str, way: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (16, 16, 16)).astype("u2")
    path = tmp_path / "a.ome.zarr"
    io.write(path, sd.SpatialArray(values), chunks=8, levels=1, **STORES[store])
    bad = _chunks(path / "0")[0]
    _damage(bad)
    image = io.read(path)  # reads no chunk
    key = str(bad.relative_to(path / "0")).replace("\\", "/")
    with pytest.raises(FormatError, match="cannot be decoded") as found:
        WAYS[way](image)
    assert f"chunk {key!r}" in str(found.value)
    assert "a.ome.zarr" in str(found.value)
    assert "write the image again" in str(found.value)


@pytest.mark.parametrize("codec", CODECS)
def test_stores_of_others(codec: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 9, (16, 16)).astype("u2")
    array = zarr.create_array(tmp_path / "a.zarr", shape=(16, 16), chunks=(8, 8), dtype="u2",
                              **CODECS[codec])  # fmt: skip
    array[...] = values
    _damage(tmp_path / "a.zarr" / "c" / "1" / "0", cut=True)
    image = sd.SpatialArray(array)
    with pytest.raises(FormatError, match="chunk 'c/1/0'"):
        image.compute()
    # What does not need it can still be read.
    np.testing.assert_array_equal(image[:8].compute().data, values[:8])
    np.testing.assert_array_equal(image[:, 8:].compute().data, values[:, 8:])


def test_a_broken_array_of_any_declared_length_is_named(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(10**17,), chunks=(1000,), dtype="u1",
                      compressors=zarr.codecs.GzipCodec())  # fmt: skip
    array = zarr.open_array(tmp_path / "a.zarr")
    array[:1000] = 1
    _damage(tmp_path / "a.zarr" / "c" / "0")
    for key in (slice(3, 9), slice(2999, None, -700), slice(10**5, None, -9999)):
        ask = sd.SpatialArray(array)[key]
        with pytest.raises(FormatError, match="chunk 'c/0'"):
            ask.compute()
