"""The location of an image: a path, a URL, or a store.

A URL of local files is a path. What else is not a path (other URLs, stores of zarr, fsspec and
obstore, groups, paths of universal_pathlib) is left as it is, for formats that open stores.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from spatial_duck.errors import FormatError

__all__ = ["is_remote", "parse_location"]


def parse_location(path: Any) -> Any:
    """Return a local path as a `Path`, and a URL or store unchanged.

    Parameters
    ----------
    path : str, path or store
        Argument of the caller.

    Raises
    ------
    FormatError
        If a path is not valid: it contains NUL, or is a URL that was converted to a path.
    TypeError
        If it is neither a path nor a store.

    Examples
    --------
    >>> parse_location("s3://bucket/a.ome.zarr")
    's3://bucket/a.ome.zarr'
    >>> parse_location("file:///tmp/a%20b.nii").as_posix()
    '/tmp/a b.nii'
    """
    if isinstance(path, str) and "://" in path:
        parts = urlsplit(path)
        if parts.scheme in ("file", "local") and parts.netloc in ("", "localhost"):
            return _check_location(unquote(parts.path) if parts.scheme == "file" else parts.path)
        return path
    if isinstance(path, str | os.PathLike):
        storage = getattr(path, "protocol", None)
        if storage in ("", "file", "local"):
            return _check_location(str(path.path))  # type: ignore[union-attr]
        if storage is not None:
            return path
        return _check_location(os.fspath(path))
    if isinstance(path, bytes | int | float | list | tuple | dict | set) or path is None:
        raise TypeError(
            f"a path, a URL or a Zarr store was expected, got {type(path).__name__}; `read` takes "
            "lists of files, bytes and open files too"
        )
    if isinstance(path, memoryview | bytearray) or callable(getattr(path, "read", None)):
        raise TypeError(
            f"a path, a URL or a Zarr store was expected, got {type(path).__name__}; `read` alone "
            "takes bytes and open files: write to a path, or to a URL such as 'memory://name'"
        )
    if hasattr(path, "__array_function__"):
        raise TypeError(
            f"a path, a URL or a Zarr store was expected, got {type(path).__name__}: it is an "
            "image or array already, which asarray(...) or SpatialArray(data, spacing=...) takes"
        )
    return path


def _check_location(text: Any) -> Path:
    name = os.fsdecode(text)
    if "\0" in name:
        raise FormatError(f"{name!r}: a path cannot hold NUL")
    path = Path(name)
    if name.startswith("~") and not path.exists():
        try:
            path = path.expanduser()
        except RuntimeError:  # there is no such user
            return path
    first = path.parts[0] if path.parts else ""
    if len(first) > 2 and first.endswith(":") and not path.exists():
        raise FormatError(_lost_slash_message(name))
    return path


def _lost_slash_message(name: str) -> str:
    return (
        f"{name}: a URL that was converted to a Path has lost a slash; give it as a str, such as "
        f"{name.replace(':/', '://', 1)!r}"
    )


def is_remote(location: Any) -> bool:
    """Whether a location is not a local path."""
    return not isinstance(location, Path)
