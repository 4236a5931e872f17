"""The format of OME-Zarr in one zip file; `spatial_duck.io.ngff._archive` describes the files.

Options of `read` and `write` are those of `spatial_duck.io.ngff._format`, except ``label`` and
``resume``: nothing is added to a zip file, and writing one is not resumed.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spatial_duck.errors import FormatError
from spatial_duck.io._format import Format
from spatial_duck.io.ngff._archive import SUFFIXES, looks_like_archive, pack_group
from spatial_duck.io.ngff._format import open_source
from spatial_duck.io.ngff._write import write_image

if TYPE_CHECKING:
    from collections.abc import Collection

    from spatial_duck.io._source import Progress

__all__ = ["FORMAT"]


def _write(
    path: Path,
    image: Any,
    *,
    progress: bool | Progress | None = None,
    version: str = "0.5",
    chunks: Any = None,
    shards: Any = None,
    levels: int | None = None,
    factors: Any = None,
    method: str | None = None,
    oblique: Literal["refuse", "keep"] = "refuse",
    memory: int | str = "512 MB",
    threads: int | None = None,
) -> None:
    if path.suffix.lower() == ".ozx" and version == "0.4":
        raise FormatError(
            f"{path.name}: an .ozx file holds OME-Zarr 0.5 or later; leave version= out, or name "
            "it .zarr.zip"
        )
    folder = Path(tempfile.mkdtemp(prefix=".group-", dir=path.parent))
    try:
        group = folder / path.name
        write_image(
            group, image, progress=progress, version=version, chunks=chunks, shards=shards,
            levels=levels, factors=factors, method=method, oblique=oblique, memory=memory,
            threads=threads,
        )  # fmt: skip
        pack_group(group, path, version)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class ZippedOmeZarr(Format):
    """OME-Zarr in one zip file (RFC-9)."""

    name, suffixes = "ome-zarr-zip", SUFFIXES

    open = staticmethod(open_source)
    write = staticmethod(_write)

    def matches(self, path: Path, head: bytes) -> bool:
        """Whether a file is a zip file with a Zarr group."""
        return looks_like_archive(path, head)

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return all: those that the standard lacks are stored beside it."""
        return list(image.coords)


FORMAT = ZippedOmeZarr()
