"""A file that no format reads is told which library reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "name, head, word",
    [
        ("a.nd2", b"", "nd2.ND2File"),
        ("a.czi", b"ZISRAWFILE", "pylibCZIrw"),
        ("noname", b"ZISRAWFILE", "pylibCZIrw"),
        ("a.trk", b"TRACK\0", "nibabel.streamlines"),
        ("a.nc", b"CDF\x01", "xarray"),
        ("a.jp2", b"\x00\x00\x00\x0cjP  ", "rasterio"),
        ("a.unknown", b"what", "format="),
    ],
)
def test_a_library_is_named(name: str, head: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(head + bytes(200))
    with pytest.raises(FormatError, match="none of the formats") as told:
        sd.read(tmp_path / name)
    assert word in str(told.value)
