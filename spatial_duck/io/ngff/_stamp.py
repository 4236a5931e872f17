"""Whether a node of a store is still the one that was opened.

A node of a folder, or of a zip file, is known by its files (`spatial_duck.io._deferred.Identity`).
A node of another store is known by what the store says of the node's metadata document: its ETag,
version or time on servers, the object that it is in memory, its bytes elsewhere. To ask costs a
request, so that reads do it for no more than a tenth of the time; the first read always does, and
so does one that misses a chunk. Needs zarr.
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
from spatial_duck.io._deferred import Identity

__all__ = ["NodeStamp", "stamp_of"]

#: What file systems of fsspec say of a file that was replaced by another of its name.
_TELLING = (
    "ETag", "etag", "version_id", "VersionId", "generation", "md5Hash", "content_md5",
    "Content-MD5", "Digest", "LastModified", "Last-Modified", "last_modified", "updated", "mtime",
    "created", "ino", "size",
)  # fmt: skip
#: How much longer than a look took reads go on without another.
_REST = 9


class NodeStamp:
    """What a store said of a document when it was opened.

    Parameters
    ----------
    store : zarr.abc.store.Store
    key : str
        Of the document.
    seen : object
        What it said; compared by ``==``.
    """

    def __init__(self, store: Any, key: str, seen: Any) -> None:
        self.store, self.key, self.seen = store, key, seen
        self._due = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_due": 0.0}

    def __repr__(self) -> str:
        return f"<NodeStamp {self.key} {self.seen!r}>"

    def check(self, *, now: bool = False) -> None:
        """Refuse a document that is not the one that was opened; at times, or now.

        Raises
        ------
        FormatError
            If it was replaced or removed.
        """
        begin = time.monotonic()
        if now or begin >= self._due:
            sync(self.recheck())
            end = time.monotonic()
            self._due = end + _REST * (end - begin)

    async def recheck(self) -> None:
        """Do what `check` does, now."""
        try:
            now = await _look(self.store, self.key)
        except FileNotFoundError:
            now = None
        except OSError:  # a look that a server refuses, or a line that fails, tells nothing
            return
        if now != self.seen:
            raise FormatError(
                f"{self.store}/{self.key} was replaced or changed since it was opened, and the "
                "image that was opened cannot be read any more; open it again"
            )


def stamp_of(store: Any, path: str, zarr_format: int) -> Identity | NodeStamp | None:
    """Note which array there is at a path of a store; None where that cannot be known.

    Parameters
    ----------
    store : zarr.abc.store.Store
    path : str
        Of the array.
    zarr_format : int
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
        seen = sync(_look(store, key))
    except OSError:
        return None
    return None if seen is None else NodeStamp(store, key, seen)


async def _look(store: Any, key: str) -> Any:
    """Return what tells a document from one that replaced it, at the least cost."""
    kind = type(store).__name__
    if kind == "FsspecStore":
        fs, options = store.fs, {}
        if "refresh" in inspect.signature(fs._info).parameters:  # past a listing that is kept
            options["refresh"] = True
        info = await fs._info("/".join(filter(None, [store.path.rstrip("/"), key])), **options)
        return tuple([(name, str(info[name])) for name in _TELLING if info.get(name) is not None])
    if kind == "ObjectStore":
        import obstore  # type: ignore[import-not-found, unused-ignore]

        meta = await obstore.head_async(store.store, key)
        return tuple([(k, str(meta.get(k))) for k in ("e_tag", "version", "last_modified", "size")])
    if kind == "MemoryStore":
        held = getattr(store, "_store_dict", {})  # no public way tells one from a copy
        return _SameObject.of(held.get(key))
    found = await store.get(key, default_buffer_prototype())
    return None if found is None else found.to_bytes()


class _SameObject:
    """An object in memory, equal to itself alone; where it is pickled, to any."""

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
