"""Writing into a store safely: published when it is complete, resumed when interrupted.

Stores cannot rename in one step, and have no locks that end with a process; but they replace a
single document at once. So the levels are written first, each chunk once, and the group's own
metadata, which make it an image, last. Levels of an image that replaces another have new names, so
that at any moment the old image is there, or the new one; the old levels are removed afterwards.

While an image is written, a group beside its levels describes it::

    NAME/spatial_duck-unfinished     attributes: token of the writer, header, prefix of the levels

A write is resumed by the list of keys in the store: a chunk that is there is complete. Of two
writers the one that began last goes on, and the other raises before it publishes. Needs zarr.
"""

from __future__ import annotations

import json
import math
import uuid
from contextlib import contextmanager, suppress
from itertools import product
from typing import TYPE_CHECKING, Any

from zarr.buffer import default_buffer_prototype

from spatial_duck.backends.zarr._private import run as sync
from spatial_duck.errors import FormatError
from spatial_duck.io.ngff._contents import describe_collection
from spatial_duck.io.ngff._describe import NAMESPACE
from spatial_duck.io.ngff._journal import compare_fingerprints
from spatial_duck.io.ngff._metadata import ome_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spatial_duck.io.ngff._block_plan import BlockPlan

__all__ = ["StoreJournal", "describe_unfinished", "journaled_write"]

_MARKER = "spatial_duck-unfinished"
_DOCUMENTS = {2: (".zattrs", ".zgroup"), 3: ("zarr.json",)}


class StoreJournal:
    """The finished blocks of a write into a store; the counterpart of `Journal` for folders.

    Parameters
    ----------
    target : zarr.storage.StorePath
        The group.
    prefix : str
        Text before the number in the names of the levels.
    token : str
        Identifies this writer.
    header : dict or None
        Header of the interrupted write that is resumed.
    formats : tuple of int
        Zarr formats of the existing group and of the new image.

    Attributes
    ----------
    fresh : StorePath
        The group in which levels are written.
    done : set of tuple of int
        The finished blocks.
    attributes : dict or None
        Attributes of the group, set when all levels are written.
    """

    def __init__(
        self,
        target: Any,
        prefix: str,
        token: str,
        header: dict[str, Any] | None,
        formats: tuple[int, int],
    ) -> None:
        self.fresh, self.prefix, self.token, self.header = target, prefix, token, header
        self.formats = formats
        self.done: set[tuple[int, ...]] = set()
        self.attributes: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "done": set()}

    def begin(self, header: Mapping[str, Any]) -> None:
        """Store the header, after the levels have been created."""
        self.header = json.loads(json.dumps(header))
        self.claim()
        if self.formats[0] != self.formats[1]:  # zarr made an empty group for the levels
            _delete(self.fresh, _DOCUMENTS[self.formats[1]])

    def claim(self) -> None:
        """Mark the group as being written by this writer."""
        import zarr

        entry = {"token": self.token, "prefix": self.prefix, "header": self.header}
        marker = self.fresh / _MARKER
        zarr.create_group(
            marker, attributes={NAMESPACE: entry}, overwrite=True, zarr_format=self.formats[0]
        )

    def check_current(self) -> None:
        """Do nothing: the levels of each writer have names of their own."""

    def add(self, *block: int) -> None:
        """Add a block that has been written."""
        self.done.add(block)

    def read_new(self) -> set[tuple[int, ...]]:
        """Return no blocks: those that other machines finish are not known before the end."""
        return set()

    def level(self, number: int) -> Any:
        """Return the path of a level."""
        return self.fresh / f"{self.prefix}{number}"

    def chunk_files(self, number: int) -> set[str]:
        """Return the keys of a level's chunks."""
        names = _list_names(self.level(number))
        return {name for name in names if name not in ("zarr.json", ".zarray", ".zattrs")}

    def size_of(self, number: int, key: str) -> int:
        """Return the number of bytes of a chunk of a level."""
        store_path = self.level(number) / key
        return int(sync(store_path.store.getsize(store_path.path)))

    def find_done(self, blocks: BlockPlan, arrays: Sequence[Any]) -> None:
        """Add the blocks whose chunks are all in the store, when a write is resumed."""
        for number, array in enumerate(arrays):
            there = self.chunk_files(number)
            unit = array.shards or array.chunks
            for index in blocks.indices(number):
                box = blocks.box(number, index)
                sides = [
                    range(s.start // u, math.ceil(s.stop / u))
                    for s, u in zip(box, unit, strict=True)
                ]
                if all(array.metadata.encode_chunk_key(c) in there for c in product(*sides)):
                    self.done.add((number, *index))

    def with_level_names(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return attributes with the names that the levels have in this store."""
        plain: dict[str, Any] = json.loads(json.dumps(attributes))
        levels = list(plain[NAMESPACE]["levels"])
        for entry in ome_of(plain)["multiscales"]:
            for dataset in entry["datasets"]:
                levels.append(dataset)
                ends = [step.get("input") for step in dataset["coordinateTransformations"]]
                levels += [end for end in ends if isinstance(end, dict) and "path" in end]
        for level in levels:
            level["path"] = self.prefix + level["path"]
        return plain

    def finish(self, attributes: dict[str, Any], zarr_format: int) -> None:  # noqa: ARG002
        """Set the group's attributes, which are written when the journal is published."""
        self.attributes = attributes


# --- contents of the store ----------------------------------------------------------------


def _list_names(store_path: Any) -> set[str]:
    """Return the names of all keys below a place, from a new listing."""
    forget = getattr(getattr(store_path.store, "fs", None), "invalidate_cache", None)
    if forget is not None:  # file systems of fsspec keep listings
        forget()
    prefix = f"{store_path.path}/" if store_path.path else ""

    async def names() -> set[str]:
        return {key.removeprefix(prefix) async for key in store_path.store.list_prefix(prefix)}

    with suppress(FileNotFoundError):
        found: set[str] = sync(names())
        return found
    return set()


def _open_or_create_group(target: Any, zarr_format: int) -> Any:
    """Return the group at a store path; an empty one is created if there is none."""
    import zarr

    try:
        with suppress(FileNotFoundError):
            return zarr.open_group(target, mode="r")
        return zarr.create_group(target, zarr_format=zarr_format)
    except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError) as error:
        raise FileExistsError(f"{target} is there already, and is a Zarr array") from error
    except (NotImplementedError, PermissionError) as error:
        raise FormatError(
            f"{target}: this kind of store cannot be written to: {error!r}"
        ) from error


def _read_marker(target: Any) -> dict[str, Any] | None:
    import zarr

    with suppress(FileNotFoundError):
        said = zarr.open_group(target / _MARKER, mode="r").attrs.get(NAMESPACE)
        if isinstance(said, dict) and {"token", "prefix", "header"} <= set(said):
            return said
    return None


def describe_unfinished(store_path: Any) -> str | None:
    """Return a message on an interrupted write and how to resume it, or None.

    Parameters
    ----------
    store_path : zarr.storage.StorePath
        A group that is not an image.
    """
    if _read_marker(store_path) is None:
        return None
    return (
        f"{store_path} is not complete: writing it was interrupted, or is still going on. Continue "
        "with write(..., resume=True) and the same image and options; or start again without it"
    )


def _level_names(attributes: Mapping[str, Any]) -> set[str]:
    """Return the names of the arrays, or of the folders of arrays, of an image's levels."""
    found = set()
    for entry in ome_of(dict(attributes)).get("multiscales") or ():
        with suppress(KeyError, TypeError):
            found |= {str(d["path"]).split("/")[0] for d in entry["datasets"]}
    return found


def _remove(target: Any, names: set[str]) -> None:
    async def remove() -> None:
        for name in sorted(names):
            await target.store.delete_dir((target / name).path)

    sync(remove())


# --- one write ----------------------------------------------------------------------------


@contextmanager
def journaled_write(
    target: Any,
    fingerprint: Mapping[str, Any],
    zarr_format: int,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[StoreJournal | None]:
    """Open a journal, and publish the image when the block ends without an error.

    Parameters
    ----------
    target : zarr.storage.StorePath
        The group; created if it does not exist.
    fingerprint : mapping
        Description of the image and the options, as JSON; a write is resumed only with the same.
    zarr_format : {2, 3}
        Zarr format of the new image.
    overwrite : bool, optional
        Replace an existing image.
    resume : bool, optional
        Resume an interrupted write.

    Yields
    ------
    StoreJournal or None
        None if the interrupted write had been published already.

    Raises
    ------
    FileExistsError
        If an image is there and `overwrite` is false.
    FormatError
        If the interrupted write has another fingerprint, another writer began meanwhile, or the
        existing group cannot be replaced.
    """
    group = _open_or_create_group(target, zarr_format)
    old, marker = dict(group.attrs), _read_marker(target)
    began = _begun_levels(marker)
    names = {key.split("/")[0] for key in _list_names(target)} - set(sum(_DOCUMENTS.values(), ()))
    names -= {_MARKER, ".zmetadata"}
    levels = _level_names(old)
    if marker is not None and resume and began and began <= levels:
        _remove(target, {_MARKER})
        yield None
        return
    if (old or names - began) and not overwrite:
        raise FileExistsError(f"{target} is there already; replace it with overwrite=True")
    _check_replaceable(target, group, levels, names - began, zarr_format)
    if resume and marker is not None and marker["header"] is not None:
        compare_fingerprints(str(target), marker["header"]["fingerprint"], fingerprint)
        prefix, header = marker["prefix"], marker["header"]
    else:
        prefix, header = "" if not (names or marker) else f"{uuid.uuid4().hex[:8]}-", None
        _remove(target, began - levels)
    formats = group.metadata.zarr_format, zarr_format
    notes = StoreJournal(target, prefix, uuid.uuid4().hex, header, formats)
    notes.claim()
    try:
        yield notes
    except BaseException as error:
        if not _is_ours(notes):
            raise _taken_over(target) from error
        if notes.done:
            error.add_note(str(describe_unfinished(target)))
        else:
            _remove(target, _begun_levels(_read_marker(target)) | {_MARKER})
            if not old and not names:
                _delete(target, _DOCUMENTS[group.metadata.zarr_format])
        raise
    if not _is_ours(notes):
        raise _taken_over(target)
    _publish(target, notes.attributes or {}, zarr_format)
    written = _begun_levels(_read_marker(target))
    _remove(target, ((levels or names) - written) | (began - written) | {_MARKER})


def _taken_over(target: Any) -> FormatError:
    return FormatError(
        f"{target}: another writer began to write it meanwhile, and goes on; what was written here "
        "was not published. Write to another name, or one after the other"
    )


def _begun_levels(marker: Mapping[str, Any] | None) -> set[str]:
    """Return the names of the levels that an interrupted write created."""
    header = marker and marker["header"]
    if not marker or not header:
        return set()
    return {f"{marker['prefix']}{n}" for n in range(len(header["blocks"]))}


def _is_ours(notes: StoreJournal) -> bool:
    found = _read_marker(notes.fresh)
    return found is not None and found["token"] == notes.token


def _check_replaceable(
    target: Any, group: Any, levels: set[str], names: set[str], zarr_format: int
) -> None:
    """Check that the group is no collection, and that other entries of it stay readable."""
    if not levels:
        inside = describe_collection(group)
        if inside is not None:
            raise FormatError(f"{target} is not replaced: {inside}")
        return
    others = sorted(names - levels)
    found = group.metadata.zarr_format
    if others and found != zarr_format:
        raise FormatError(
            f"{target}: it holds {', '.join(map(repr, others))} beside its image, in Zarr format "
            f"{found}; an image in format {zarr_format} would leave them unreadable. Write it with "
            f"version={'0.4' if found == 2 else '0.5'!r}, or to another name"
        )


def _publish(target: Any, attributes: Mapping[str, Any], zarr_format: int) -> None:
    """Write the documents that make a group an image; the last one is decisive."""
    if zarr_format == 3:
        whole = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        documents: dict[str, Any] = {"zarr.json": whole}
    else:
        documents = {".zattrs": attributes, ".zgroup": {"zarr_format": 2}}
    buffer = default_buffer_prototype().buffer

    async def put() -> None:
        for name, content in documents.items():
            data = buffer.from_bytes(json.dumps(content, indent=2).encode())
            await target.store.set((target / name).path, data)

    sync(put())
    _delete(target, (*_DOCUMENTS[5 - zarr_format], ".zmetadata"))


def _delete(target: Any, names: Sequence[str]) -> None:
    async def delete() -> None:
        for name in names:
            with suppress(FileNotFoundError, KeyError):
                await target.store.delete((target / name).path)

    sync(delete())
