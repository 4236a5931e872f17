"""A level of a series as a Zarr store that can be pickled."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from spatial_duck.backends.zarr._private import ForwardingStore
from spatial_duck.errors import FormatError
from spatial_duck.io.tiff._companion import open_tiff

__all__ = ["TiffStore", "open_store"]


class TiffStore(ForwardingStore):
    """tifffile's store of a level; pickled as the arguments of `open_store`.

    Parameters
    ----------
    store : tifffile.zarr.ZarrTiffStore
        The open store.
    file : tifffile.TiffFile
        Its file, which is closed when the store is closed or no longer used.
    arguments : tuple
        The arguments of `open_store`.
    """

    def __init__(self, store: Any, file: Any, arguments: tuple[str, int, int, bool]) -> None:
        super().__init__(store)
        self._arguments = arguments
        self._close_file = weakref.finalize(store, file.close)

    def close(self) -> None:
        """Close the store and its file."""
        super().close()
        self._close_file()

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, self._arguments

    def __str__(self) -> str:
        path, series, level, _ = self._arguments
        return f"tiff://{path}?series={series}&level={level}"

    def __repr__(self) -> str:
        return f"TiffStore({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TiffStore) and self._arguments == other._arguments

    __hash__ = None  # type: ignore[assignment]

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """Read one key; whatever tifffile raises for a damaged file is a `FormatError`."""
        try:
            return await super().get(key, *args, **kwargs)
        except (FormatError, RecursionError):
            raise
        except Exception as error:  # lengths beyond memory too: nothing was read at open
            raise FormatError(
                f"{self._arguments[0]}: its voxels cannot be read, it is damaged: {error!r}"
            ) from error


def open_store(path: str, series: int, level: int, plain: bool = False) -> TiffStore:
    """Open a level of a series of a TIFF file.

    Parameters
    ----------
    path : str
        Absolute path of the file.
    series, level : int
        Number of the series, and of its level.
    plain : bool, optional
        Ignore OME-XML in another file.
    """
    file, _ = open_tiff(Path(path), plain)
    inner = file.series[series].aszarr(level=level)
    return TiffStore(inner, file, (path, series, level, plain))
