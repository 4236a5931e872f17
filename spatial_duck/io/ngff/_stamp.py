"""Detection of nodes of a store that were replaced after they were opened.

A node in a folder or a zip file is identified by its files (`spatial_duck.io._identity.Identity`),
a node of another store by its metadata document: the ETag, version or time of it on servers, the
object itself in memory, its bytes elsewhere. Each check costs a request, so that checks take at
most a tenth of the time of reading; the first read always checks, and so does one that finds a
chunk missing. Needs zarr.
"""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import Any

from zarr.buffer import default_buffer_prototype

from spatial_duck.backends._backend import object_identity
from spatial_duck.backends.zarr._private import run as sync
from spatial_duck.errors import FormatError
from spatial_duck.io._identity import Identity

__all__ = ["NodeStamp", "stamp_of"]

#: Entries of fsspec's file information that differ when a file was replaced.
_IDENTIFYING = (
    "ETag", "etag", "version_id", "VersionId", "generation", "md5Hash", "content_md5",
    "Content-MD5", "Digest", "LastModified", "Last-Modified", "last_modified", "updated", "mtime",
    "created", "ino", "size",
)  # fmt: skip
#: Pause between two checks, in multiples of the time that the first one took.
_PAUSE_FACTOR = 9


class NodeStamp:
    """State of a metadata document when it was opened.

    Parameters
    ----------
    store : zarr.abc.store.Store
        The store.
    key : str
        Key of the document.
    noted : object
        State of the node; compared by ``==``.
    """

    def __init__(self, store: Any, key: str, noted: Any) -> None:
        self.store, self.key, self.noted = store, key, noted
        self._next_check = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_next_check": 0.0}

    def __repr__(self) -> str:
        return f"<NodeStamp {self.key} {self.noted!r}>"

    def check(self, *, now: bool = False) -> None:
        """Check that the document has not changed, unless the last check was a moment ago.

        Parameters
        ----------
        now : bool, optional
            Check in any case.

        Raises
        ------
        FormatError
            If it was replaced or removed.
        """
        begin = time.monotonic()
        if now or begin >= self._next_check:
            sync(self.recheck())
            end = time.monotonic()
            self._next_check = end + _PAUSE_FACTOR * (end - begin)

    async def recheck(self) -> None:
        """Check that the document has not changed."""
        try:
            now = await _read_stamp(self.store, self.key)
        except FileNotFoundError:
            now = None
        except OSError:  # a refused request or a failed connection shows nothing
            return
        if now != self.noted:
            raise FormatError(
                f"{self.store}/{self.key} was replaced or changed since it was opened, and the "
                "image that was opened cannot be read any more; open it again"
            )


def stamp_of(store: Any, path: str, zarr_format: int) -> Identity | NodeStamp | None:
    """Return the identity of the array at a path of a store; None if that is not available.

    Parameters
    ----------
    store : zarr.abc.store.Store
        The store.
    path : str
        Path of the array.
    zarr_format : int
        2 or 3.
    """
    root = getattr(store, "root", None)
    if root is not None:
        folder = Path(root) / path
        files = [folder / name for name in ("zarr.json", ".zarray")]
        return Identity.of([file for file in files if file.is_file()])
    if type(store).__name__ == "ZipStore":
        return Identity.of([Path(store.path)])
    key = "/".join(filter(None, [path, "zarr.json" if zarr_format == 3 else ".zarray"]))
    try:
        noted = sync(_read_stamp(store, key))
    except OSError:
        return None
    return None if noted is None else NodeStamp(store, key, noted)


async def _read_stamp(store: Any, key: str) -> Any:
    """Return the state of a document, which differs if it is replaced, at the least cost."""
    kind = type(store).__name__
    if kind == "FsspecStore":
        fs, options = store.fs, {}
        if "refresh" in inspect.signature(fs._info).parameters:  # not from a cached listing
            options["refresh"] = True
        info = await fs._info("/".join(filter(None, [store.path.rstrip("/"), key])), **options)
        return tuple(
            [(name, str(info[name])) for name in _IDENTIFYING if info.get(name) is not None]
        )
    if kind == "ObjectStore":
        import obstore  # type: ignore[import-not-found, unused-ignore]

        meta = await obstore.head_async(store.store, key)
        return tuple([(k, str(meta.get(k))) for k in ("e_tag", "version", "last_modified", "size")])
    if kind == "MemoryStore":
        held = getattr(store, "_store_dict", {})  # the public API returns copies
        return _SameObject.of(held.get(key))
    found = await store.get(key, default_buffer_prototype())
    return None if found is None else found.to_bytes()


class _SameObject:
    """An object in memory, equal to itself alone; after pickling, equal to any."""

    def __init__(self, held: Any = None) -> None:
        self.held = held

    @classmethod
    def of(cls, held: Any) -> _SameObject | None:
        return None if held is None else cls(held)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _SameObject):
            return False
        return self.held is None or other.held is None or self.held is other.held

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return object_identity(self.held)

    def __reduce__(self) -> tuple[Any, ...]:
        return _SameObject, ()
