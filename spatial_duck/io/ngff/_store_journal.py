"""What makes a write into a store safe: it is an image when it is whole, and can be continued.

Stores have no names that could be changed in one step, and no locks that end with a process. What
they have is that one document is replaced at once. So the levels are written first, each chunk
once, and the group's own metadata, which make it an image, last. Levels of an image that replaces
another have names of their own, so that at any moment the old image is there, or the new one; what
the old one alone consists of is removed afterwards.

While it is being written, a group beside the levels says what is::

    NAME/spatial_duck-unfinished     attributes: token of the writer, what it writes, the levels

A write is continued by what the store lists: a chunk that is there is whole. Of two writers the one
that began last goes on, and the other is refused before it publishes. Needs zarr.
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

__all__ = ["StoreJournal", "unfinished_in", "writing"]

_MARKER = "spatial_duck-unfinished"
_DOCUMENTS = {2: (".zattrs", ".zgroup"), 3: ("zarr.json",)}


class StoreJournal:
    """A write into a store that is going on; the counterpart of `Journal` for folders.

    Parameters
    ----------
    target : zarr.storage.StorePath
        The group.
    prefix : str
        Of the names of its levels, before their numbers.
    token : str
        Of this writer.
    header : dict or None
        Of the interrupted write that is continued.
    formats : tuple of int
        Of Zarr: of the group that is there, and of what is written.

    Attributes
    ----------
    fresh : StorePath
        Where levels are written.
    done : set of tuple of int
        The finished blocks.
    attributes : dict or None
        Of the group, once all levels are there.
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
        """Note what is written, once its levels have been created."""
        self.header = json.loads(json.dumps(header))
        self.claim()
        if self.formats[0] != self.formats[1]:  # zarr made an empty group for the levels
            _delete(self.fresh, _DOCUMENTS[self.formats[1]])

    def claim(self) -> None:
        """Note who writes."""
        import zarr

        said = {"token": self.token, "prefix": self.prefix, "header": self.header}
        marker = self.fresh / _MARKER
        zarr.create_group(
            marker, attributes={NAMESPACE: said}, overwrite=True, zarr_format=self.formats[0]
        )

    def add(self, *block: int) -> None:
        """Note a block that has been written: the store itself knows."""
        self.done.add(block)

    def read_new(self) -> set[tuple[int, ...]]:
        """Return blocks that others finished: those on other machines are known in the end."""
        return set()

    def level(self, number: int) -> Any:
        """Return where a level is written."""
        return self.fresh / f"{self.prefix}{number}"

    def chunk_files(self, number: int) -> set[str]:
        """Return the keys of a level's chunks that are there."""
        names = _listed(self.level(number))
        return {name for name in names if name not in ("zarr.json", ".zarray", ".zattrs")}

    def size_of(self, number: int, key: str) -> int:
        """Return the bytes of a chunk of a level."""
        place = self.level(number) / key
        return int(sync(place.store.getsize(place.path)))

    def find_done(self, blocks: BlockPlan, arrays: Sequence[Any]) -> None:
        """Find the blocks that are there, of a write that is continued."""
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

    def renamed(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return attributes with the levels' names as they are in this store."""
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
        """Take the group's attributes; it becomes an image when the caller is done."""
        self.attributes = attributes


# --- what is there ------------------------------------------------------------------------


def _listed(place: Any) -> set[str]:
    """Return the names of all documents below a place, as a listing finds them now."""
    forget = getattr(getattr(place.store, "fs", None), "invalidate_cache", None)
    if forget is not None:  # file systems of fsspec keep listings
        forget()
    prefix = f"{place.path}/" if place.path else ""

    async def names() -> set[str]:
        return {key.removeprefix(prefix) async for key in place.store.list_prefix(prefix)}

    with suppress(FileNotFoundError):
        found: set[str] = sync(names())
        return found
    return set()


def _open_or_make(target: Any, zarr_format: int) -> Any:
    """Return the group at a place, which is made, empty, where there is none."""
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


def _marker(target: Any) -> dict[str, Any] | None:
    import zarr

    with suppress(FileNotFoundError):
        said = zarr.open_group(target / _MARKER, mode="r").attrs.get(NAMESPACE)
        if isinstance(said, dict) and {"token", "prefix", "header"} <= set(said):
            return said
    return None


def unfinished_in(place: Any) -> str | None:
    """Say that what lies at a place of a store was not written to its end, if so.

    Parameters
    ----------
    place : zarr.storage.StorePath
        A group that is no image.
    """
    if _marker(place) is None:
        return None
    return (
        f"{place} is not complete: writing it was interrupted, or is still going on. Continue with "
        "write(..., resume=True) and the same image and options; or start again without it"
    )


def _levels(attributes: Mapping[str, Any]) -> set[str]:
    """Return the names of what the levels of an image lie in."""
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
def writing(
    target: Any,
    fingerprint: Mapping[str, Any],
    zarr_format: int,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[StoreJournal | None]:
    """Give a journal of a write into a store, which is published when all went well.

    Parameters
    ----------
    target : zarr.storage.StorePath
        A group that is there: an image, or an empty one.
    fingerprint : mapping
        What is written, as JSON.
    zarr_format : {2, 3}
        Of what is written.
    overwrite, resume : bool, optional
        As for folders.

    Yields
    ------
    StoreJournal or None
        None where an interrupted write had been published and nothing is left to do.

    Raises
    ------
    FileExistsError
        If an image is there and `overwrite` is false.
    FormatError
        If the interrupted write was of something else, another writer began meanwhile, or what is
        there cannot be replaced.
    """
    group = _open_or_make(target, zarr_format)
    old, marker = dict(group.attrs), _marker(target)
    began = _names_of(marker)
    names = {key.split("/")[0] for key in _listed(target)} - set(sum(_DOCUMENTS.values(), ()))
    names -= {_MARKER, ".zmetadata"}
    levels = _levels(old)
    if marker is not None and resume and began and began <= levels:
        _remove(target, {_MARKER})
        yield None
        return
    if (old or names - began) and not overwrite:
        raise FileExistsError(f"{target} is there already; replace it with overwrite=True")
    _check_replaced(target, group, levels, names - began, zarr_format)
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
            error.add_note(str(unfinished_in(target)))
        else:
            _remove(target, _names_of(_marker(target)) | {_MARKER})
            if not old and not names:
                _delete(target, _DOCUMENTS[group.metadata.zarr_format])
        raise
    if not _is_ours(notes):
        raise _taken_over(target)
    _publish(target, notes.attributes or {}, zarr_format)
    written = _names_of(_marker(target))
    _remove(target, ((levels or names) - written) | (began - written) | {_MARKER})


def _taken_over(target: Any) -> FormatError:
    return FormatError(
        f"{target}: another writer began to write it meanwhile, and goes on; what was written here "
        "was not published. Write to another name, or one after the other"
    )


def _names_of(marker: Mapping[str, Any] | None) -> set[str]:
    """Return the names of the levels that a writer began."""
    header = marker and marker["header"]
    if not marker or not header:
        return set()
    return {f"{marker['prefix']}{n}" for n in range(len(header["blocks"]))}


def _is_ours(notes: StoreJournal) -> bool:
    found = _marker(notes.fresh)
    return found is not None and found["token"] == notes.token


def _check_replaced(
    target: Any, group: Any, levels: set[str], names: set[str], zarr_format: int
) -> None:
    """Refuse to replace what is no image, and what would leave others' work unreadable."""
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
    """Put the documents that make a group an image; of those of one format the last one does."""
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
