"""Changes to files that keep their structure: fields, lists and nesting rather than bytes.

A mutator takes a valid file's bytes, those of other valid files of its format (the donors) and a
random generator, and returns a changed copy that a parser still gets far into: a field has an
extreme value, another field's, or that of a donor; a list is longer, shorter or in another order;
a part is missing, doubled, or nested a thousand times; an offset or a length points elsewhere.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import json
import re
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Mutator = Callable[[bytes, Sequence[bytes], np.random.Generator], bytes]

__all__ = [
    "mutate_dicom",
    "mutate_hdf5",
    "mutate_json",
    "mutate_lines",
    "mutate_nifti",
    "mutate_npy",
    "mutate_shard",
    "mutate_tiff",
    "mutate_xml",
    "mutate_zip",
]

EXTREMES: list[Any] = [
    0, -1, 1, 2, 255, 65536, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, 1.5, -0.0, 1e-320,
    1e-30, 1e30, 1e308, float("nan"), float("inf"), float("-inf"), True, False, None, "", " ", "0",
    "nan", "x", "..", "../../../etc/passwd", "/dev/zero", "\0", "\x1b[31m", "é" * 300,
    "9" * 5000, "none", "little", "|O", "<U4", [], {}, [[]], [None], [0] * 1000, [[1, 0], [0, 1]],
]  # fmt: skip
#: Stands for a value nested so deeply that `json.dumps` would not write it.
_DEEP = "@nested@"


def _pick(items: Sequence[Any], rng: np.random.Generator) -> Any:
    return items[int(rng.integers(len(items)))]


# Trees of dicts and lists: JSON, and the header of .npy -------------------------------------------


def _nodes(tree: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of each node below the root."""
    found = []
    stack = [tree]
    while stack:
        node = stack.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            found.append((node, key))
            if isinstance(value, dict | list) and value:
                stack.append(value)
    return found


def _change_tree(tree: Any, donors: Sequence[Any], rng: np.random.Generator) -> None:
    nodes = _nodes(tree)
    if not nodes:
        return
    container, key = _pick(nodes, rng)
    value = container[key]
    way = int(rng.integers(9))
    if way < 3:
        container[key] = _pick(EXTREMES, rng)
    elif way == 3:
        others = [c[k] for donor in donors for c, k in _nodes(donor) if k == key]
        container[key] = _pick(others, rng) if others else _pick(EXTREMES, rng)
    elif way == 4:
        c, k = _pick(nodes, rng)  # of this file, from anywhere
        container[key] = json.loads(json.dumps(c[k]))
    elif way == 5:
        del container[key]
    elif way == 6 and isinstance(value, list) and value:
        container[key] = [value * _pick([2, 3, 1000], rng), value[:-1], value[::-1]][
            int(rng.integers(3))
        ]
    elif way == 7:
        container[key] = _DEEP
    else:
        container[key] = _pick([[value], {"value": value}, [value, value], str(value)], rng)


def _changes(rng: np.random.Generator) -> range:
    return range(int(rng.integers(1, 4)))


def mutate_json(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change nodes of a JSON document."""
    tree = json.loads(raw)
    others = [json.loads(donor) for donor in donors]
    for _ in _changes(rng):
        with contextlib.suppress(KeyError, IndexError):
            _change_tree(tree, others, rng)
    depth = _pick([3, 200, 100_000], rng)
    text = json.dumps(tree).replace(f'"{_DEEP}"', "[" * depth + "]" * depth)
    return text.encode(errors="replace")


def mutate_npy(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change entries of the dictionary in the header of a NumPy file."""

    def header(data: bytes) -> tuple[dict[str, Any], int]:
        size = struct.unpack_from("<H", data, 8)[0]
        tree = ast.literal_eval(data[10 : 10 + size].decode("latin1"))
        return {**tree, "shape": list(tree["shape"])}, 10 + size

    tree, end = header(raw)
    for _ in _changes(rng):
        with contextlib.suppress(KeyError, IndexError):
            _change_tree(tree, [header(donor)[0] for donor in donors], rng)
    shape = tree.get("shape")
    if isinstance(shape, list):
        tree["shape"] = tuple(shape)
    depth = _pick([3, 50, 5000], rng)
    text = repr(tree).replace(f"'{_DEEP}'", "(" * depth + "1," + ")" * depth).encode()[:65000]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + raw[end:]


# Headers of lines: NRRD, MetaImage, ITK's transforms ---------------------------------------------

_FIELD = re.compile(
    rb"^(?P<key>[^\r\n:=]+?)(?P<sign>\s*:=\s*|\s*[:=]\s*)(?P<value>[^\r\n]*)$", re.M
)


def _as_text(value: Any) -> bytes:
    return str(value).replace("\n", " ").encode(errors="replace")


def _change_words(value: bytes, rng: np.random.Generator) -> bytes:
    words = re.findall(rb"[^\s(),]+|[\s(),]+", value)
    if not words:
        return _as_text(_pick(EXTREMES, rng))
    way = int(rng.integers(5))
    at = int(rng.integers(len(words)))
    if way == 0:
        words[at] = _as_text(_pick(EXTREMES, rng))
    elif way == 1:
        del words[at]
    elif way == 2:
        words[at:at] = [words[at], b" "] * _pick([1, 2, 20000], rng)
    elif way == 3:
        words.reverse()
    else:
        return value + b" " + value
    return b"".join(words)


def mutate_lines(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change fields of a header of lines, which ends at an empty line or at the first odd one."""
    end = re.search(rb"\n\r?\n|ElementDataFile[^\n]*\n", raw)
    size = end.end() if end else len(raw)
    lines = raw[:size].split(b"\n")
    theirs = [m.groupdict() for donor in donors for m in _FIELD.finditer(donor[:4000])]
    for _ in _changes(rng):
        at = int(rng.integers(len(lines)))
        found = _FIELD.match(lines[at])
        way = int(rng.integers(7))
        if found is None or way == 0:
            other = int(rng.integers(len(lines)))
            if rng.random() < 0.5:
                lines[at], lines[other] = lines[other], lines[at]
            else:
                lines[at:at] = [lines[other]] * _pick([1, 1, 3000], rng)
            continue
        key, sign, value = found["key"], found["sign"], found["value"]
        if way == 1:
            del lines[at]
        elif way == 2:
            values = [their["value"] for their in theirs if their["key"] == key] or [b""]
            lines[at] = key + sign + _pick(values, rng)
        elif way == 3 and theirs:
            lines[at:at] = [b"".join(_pick(theirs, rng).values())]
        elif way == 4:
            lines[at] = key + sign + _as_text(_pick(EXTREMES, rng))
        else:
            lines[at] = key + sign + _change_words(value, rng)
    return b"\n".join(lines) + raw[size:]


# XML: VTI, and OME-XML in TIFF -------------------------------------------------------------------

_ATTRIBUTE = re.compile(rb'([\w:]+)="([^"]*)"')
_ELEMENT = re.compile(rb"<(\w+)[^<>]*/>|<(\w+)[^<>]*>[^<>]*</\2>")


def mutate_xml(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change attributes and elements of a document, before its appended data if it has any."""
    at = raw.find(b"<AppendedData")
    size = len(raw) if at < 0 else at
    head = raw[:size]
    for _ in _changes(rng):
        attributes = list(_ATTRIBUTE.finditer(head))
        elements = list(_ELEMENT.finditer(head))
        way = int(rng.integers(7))
        if way < 4 and attributes:
            found = _pick(attributes, rng)
            theirs = [m[2] for donor in donors for m in _ATTRIBUTE.finditer(donor[:20000])
                      if m[1] == found[1]]  # fmt: skip
            if way == 0 and theirs:
                value = _pick(theirs, rng)
            elif way == 1:
                value = _change_words(found[2], rng).replace(b'"', b"")
            else:
                value = _as_text(_pick(EXTREMES, rng)).replace(b'"', b"")
            head = head[: found.start(2)] + value + head[found.end(2) :]
        elif elements:
            found = _pick(elements, rng)
            piece = found[0]
            times = _pick([0, 2, 2000], rng)
            if way == 5:
                other = _pick(elements, rng)[0]
                piece, times = other, 1
            elif way == 6:
                name = found[1] or found[2]
                piece, times = b"<" + name + b">" + piece + b"</" + name + b">", 1
            head = head[: found.start()] + piece * times + head[found.end() :]
    return head + raw[size:]


# Binary headers ----------------------------------------------------------------------------------

_INTEGERS = [0, 1, 2, 3, 7, 8, 127, 255, 256, 32767, 65535, 2**31 - 1, 2**32 - 1, 2**63 - 1, -1]


def mutate_nifti(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change fields of a NIfTI-1 header, by their types."""
    from nibabel.nifti1 import header_dtype

    data = bytearray(raw)
    for _ in _changes(rng):
        names = [*header_dtype.names, "extension"]
        name = _pick(names, rng)
        if name == "extension":  # flag, size and code behind the header
            data[348:360] = struct.pack("<4Bii", 1, 0, 0, 0, _pick([-8, 0, 8, 2**30], rng), 6)
            continue
        kind, at = header_dtype.fields[name][:2]
        base, size = kind.base, kind.itemsize
        way = int(rng.integers(4))
        if way == 0:
            data[at : at + size] = _pick(donors, rng)[at : at + size]
        elif base.kind == "S":
            data[at : at + size] = rng.bytes(size)
        else:
            one = at + base.itemsize * int(rng.integers(size // base.itemsize))
            values: list[Any] = _INTEGERS
            if base.kind == "f":
                values = [0, -1, 1e-30, 1e30, 1e38, np.nan, np.inf, -np.inf, 2.0**31]
            value = np.asarray(_pick(values, rng))
            data[one : one + base.itemsize] = value.astype(base.newbyteorder("<")).tobytes()
    return bytes(data)


def mutate_tiff(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change entries of the directories of a little-endian TIFF, and what it says of itself."""
    data = bytearray(raw)
    big = struct.unpack_from("<H", data, 2)[0] == 43
    word, entry, first = ("<Q", 20, 8) if big else ("<I", 12, 4)
    directories, links, at = [], [first], struct.unpack_from(word, data, first)[0]
    while at and at < len(data) and len(directories) < 50:
        count = struct.unpack_from("<Q" if big else "<H", data, at)[0]
        start = at + (8 if big else 2)
        directories.append([start + entry * i for i in range(count)])
        links.append(start + entry * count)
        at = struct.unpack_from(word, data, links[-1])[0]
    width = struct.calcsize(word)
    for _ in _changes(rng):
        entries = _pick(directories, rng)
        place = _pick(entries, rng)
        count_at, value_at = place + 4, place + 4 + width
        way = int(rng.integers(7))
        if way == 0:
            struct.pack_into("<H", data, place + 2, int(rng.integers(20)))
        elif way < 3:
            where = count_at if way == 1 else value_at
            number = _pick([*_INTEGERS, len(data), len(data) - 1, place, where], rng)
            struct.pack_into(word, data, where, number % (1 << 8 * width))
        elif way == 3:
            other = _pick(entries, rng)
            keep = data[place + 2 : place + entry]
            data[place + 2 : place + entry] = data[other + 2 : other + entry]
            data[other + 2 : other + entry] = keep
        elif way == 4:
            tag = int(rng.choice([256, 257, 258, 259, 262, 273, 277, 279, 284, 317, 322, 324, 330,
                                  33550, 33922, 34264, 34735, 50838, 50839]))  # fmt: skip
            struct.pack_into("<H", data, place, tag)
        elif way == 5:  # directories in a circle, beyond the end, or in the middle of another
            target = _pick([links[0] + width, entries[0] - (8 if big else 2), place, 1 << 31], rng)
            struct.pack_into(word, data, _pick(links, rng), target)
        else:
            _describe_otherwise(data, directories[0], (word, width), donors, rng)
    return bytes(data)


def _describe_otherwise(
    data: bytearray,
    entries: Sequence[int],
    words: tuple[str, int],
    donors: Sequence[bytes],
    rng: np.random.Generator,
) -> None:
    """Append a changed description and let its tag point there."""
    word, width = words
    for place in entries:
        if struct.unpack_from("<H", data, place)[0] == 270:
            count = struct.unpack_from(word, data, place + 4)[0]
            at = struct.unpack_from(word, data, place + 4 + width)[0]
            text = bytes(data[at : at + count])
            change = mutate_xml if b"<" in text else mutate_lines
            text = change(text.rstrip(b"\0"), donors, rng) + b"\0"
            struct.pack_into(word, data, place + 4, len(text))
            struct.pack_into(word, data, place + 4 + width, len(data))
            data += text


def mutate_dicom(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change elements of a DICOM dataset, nested ones too."""
    import pydicom
    from pydicom import config

    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE
    dataset = pydicom.dcmread(io.BytesIO(raw), force=True)
    others = [pydicom.dcmread(io.BytesIO(donor), force=True) for donor in donors]
    for _ in _changes(rng):
        inside: list[Any] = [dataset]
        for part in inside:
            inside += [item for element in part if element.VR == "SQ" for item in element.value]
        part = _pick(inside, rng)
        tags = list(part.keys())
        if not tags:
            continue
        tag = _pick(tags, rng)
        element = part[tag]
        way = int(rng.integers(6))
        with contextlib.suppress(Exception):  # pydicom refuses some of it: then it is not changed
            if way == 0:
                del part[tag]
            elif way == 1:
                other = _pick(others, rng)
                part[tag] = other[tag] if tag in other else other[_pick(list(other.keys()), rng)]
            elif element.VR == "SQ":
                times = _pick([0, 2, 50], rng)
                element.value = pydicom.Sequence(list(element.value) * times)
                if way == 2:  # itself inside itself
                    element.value = [copy.deepcopy(part)]
            elif way == 2 and element.VM > 1:
                element.value = _pick([list(element.value) * 20, list(element.value)[:-1]], rng)
            else:
                number = element.VR in {"US", "UL", "SS", "SL", "FL", "FD", "UV", "SV"}
                values = _INTEGERS if number else EXTREMES[:41]
                value = _pick(values, rng)
                part.add_new(tag, element.VR, value if number else str(value))
    written = io.BytesIO()
    try:
        dataset.save_as(written, enforce_file_format=False)
    except Exception:  # what pydicom cannot write is no file
        return raw
    return written.getvalue()


def mutate_hdf5(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change attributes, datasets and links of an HDF5 file."""
    import h5py

    holder = io.BytesIO(raw)
    with h5py.File(holder, "r+") as file:
        objects: list[Any] = [file]
        file.visititems(lambda _, found: objects.append(found))
        for _ in _changes(rng):
            with contextlib.suppress(Exception):  # h5py refuses some of it: then it is not changed
                _change_hdf5(file, _pick(objects, rng), donors, rng)
    return holder.getvalue()


def _change_hdf5(file: Any, found: Any, donors: Sequence[bytes], rng: np.random.Generator) -> None:
    import h5py

    way = int(rng.integers(7))
    names = list(found.attrs)
    if way < 3 and names:
        name = _pick(names, rng)
        if way == 0:
            del found.attrs[name]
        elif way == 1:
            found.attrs[name] = _pick(EXTREMES, rng)
        else:
            with h5py.File(io.BytesIO(_pick(donors, rng)), "r") as donor:
                found.attrs[name] = donor[found.name].attrs[name]
        return
    if found.name == "/":
        return
    parent, name = found.parent, found.name.rpartition("/")[2]
    old = found[()] if isinstance(found, h5py.Dataset) else None
    kept = dict(found.attrs)
    del parent[name]
    if way == 3:
        parent[name] = _pick(
            [h5py.SoftLink(f"/{name}"), h5py.SoftLink("/"), h5py.ExternalLink("other.h5", "/"),
             h5py.ExternalLink("/dev/zero", "/")],
            rng,
        )  # fmt: skip
    elif way == 4:  # nothing of it is stored
        shape = _pick([(0,), (1,), (2**40,), (2**20,) * 3, (1,) * 32], rng)
        chunks = tuple(min(n, 64) or 1 for n in shape)
        made = parent.create_dataset(
            name, shape, chunks=chunks, maxshape=(None,) * len(shape), dtype="f8"
        )
        made.attrs.update(kept)
    elif way == 5:
        parent.create_group(name).attrs.update(kept)
    elif old is not None:
        value = _pick([np.asarray(old).ravel()[:1], np.asarray(old)[None], "text", 1], rng)
        parent.create_dataset(name, data=value).attrs.update(kept)
    file.flush()


def mutate_shard(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change offsets and lengths in a shard's index, with a checksum that fits."""
    import google_crc32c

    entries = 9  # 24 / 8 along each of the last two axes
    start = len(raw) - 16 * entries - 4
    index = np.frombuffer(raw, "<u8", 2 * entries, start).copy()
    for _ in _changes(rng):
        at = int(rng.integers(2 * entries))
        values = [0, 1, start, len(raw), 2**31, 2**63, 2**64 - 1, int(index[at - 1])]
        index[at] = _pick(values, rng)
    body = index.tobytes()
    return raw[:start] + body + struct.pack("<I", google_crc32c.value(body))


def mutate_zip(raw: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change documents, names and sizes in an archive of a Zarr store."""
    holder = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(holder, "w") as new:
        names = old.namelist()
        changed = _pick(names, rng)
        way = int(rng.integers(5))
        for name in names:
            content, target = old.read(name), name
            if name == changed:
                if way == 0:
                    continue
                if way == 1:
                    target = _pick(["../" + name, "/" + name, name + "/", "a\\" + name, "x"], rng)
                elif way == 2:
                    content = old.read(_pick(names, rng))
                elif name.endswith(".json"):
                    content = mutate_json(content, [content], rng)
                else:
                    content = content[: int(rng.integers(len(content) + 1))]
            new.writestr(target, content)
    data = bytearray(holder.getvalue())
    if rng.random() < 0.3:  # a size or an offset of the central directory
        at = data.rfind(b"PK\x01\x02")
        place = at + _pick([10, 20, 24, 28, 30, 42], rng)
        struct.pack_into("<I", data, place, _pick([0, 1, 2**31, 2**32 - 1, len(data)], rng))
    return bytes(data)
