"""Lazy images of files, which raise if the file has changed since it was opened.

`Identity.check` is called whenever something is read. A memory map is checked once, when it is
made: it keeps the file that it was made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from spatial_duck.io._format import Format
    from spatial_duck.io._identity import Identity

__all__ = ["deferred_array", "guarded_blocks"]


class _ReadAgain(NamedTuple):
    """Opens a file again and reads its voxels; can be pickled."""

    format: str
    path: Any
    options: dict[str, Any]
    identity: Identity

    def __call__(self) -> NDArray[Any]:
        from spatial_duck.io._registry import find_format
        from spatial_duck.io._source import Source

        self.identity.check()
        try:
            opened = find_format(self.format).open(self.path, **self.options)
            return np.asarray(opened.load(False) if isinstance(opened, Source) else opened)
        finally:
            # What cannot be read of a file that was replaced is told by what happened to it.
            self.identity.check()


def deferred_array(
    format: Format,
    path: Path,
    options: Mapping[str, Any],
    identity: Identity,
    shape: tuple[int, ...],
    dtype: DTypeLike,
) -> Any:
    """Return a Dask array of one block, which opens the file again when it is computed."""
    dask = require("dask", "Reading with lazy=True")
    require("dask.array", "Reading with lazy=True")
    read_again = _ReadAgain(format.name, path, dict(options), identity)
    return dask.array.from_delayed(dask.delayed(read_again)(), shape, dtype)


class _CheckedBlock(NamedTuple):
    """Returns a block if the files are still those that were opened; can be pickled."""

    identity: Identity

    def __call__(self, block: Any) -> Any:
        self.identity.check()
        return block


def guarded_blocks(data: Any, identity: Identity) -> Any:
    """Return a Dask array whose blocks raise if the files have changed."""
    return data.map_blocks(
        _CheckedBlock(identity), dtype=data.dtype, meta=backends.empty_block(data)
    )
