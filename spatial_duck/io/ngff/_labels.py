"""Labels beside an image, and other entries of its group.

``labels/`` in an image's group is a group of images whose values are numbers of objects; its
attributes list them. Colours and properties of the values are in the ``image-label`` of each, which
an image has in ``attrs["ome"]["image-label"]``.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.io._publishing import LONGEST_NAME
from spatial_duck.io.ngff._archive import METADATA
from spatial_duck.io.ngff._contents import describe_collection
from spatial_duck.io.ngff._metadata import ome_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["add_source", "check_label", "copy_other_entries", "register_label"]


def check_label(name: str, dtype: Any) -> None:
    """Check that a name is that of a single folder, and that voxels are integers."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise FormatError(f"label must be the name of one folder, got {name!r}")
    if name in METADATA or name.startswith("__") or len(os.fsencode(name)) > LONGEST_NAME:
        raise FormatError(
            f"label must not be a name that Zarr uses ({', '.join(METADATA)}, __…), nor have more "
            f"than {LONGEST_NAME} bytes, got {name!r}"
        )
    if np.dtype(dtype).kind not in "iu":
        raise FormatError(
            f"labels are integers in OME-Zarr, got {np.dtype(dtype)} voxels; use "
            "image.astype('uint8') or another integer type"
        )


def add_source(attributes: dict[str, Any], version: str) -> None:
    """Add to attributes that the image holds labels of the image two groups above."""
    ome = attributes if version == "0.4" else attributes["ome"]
    entry = ome.get("image-label") or {"version": version}
    ome["image-label"] = {**entry, "source": {"image": "../../"}}


def register_label(folder: Any, name: str, version: str) -> None:
    """Add a label image to the list of the group ``labels``, which is created if it is missing."""
    import zarr

    zarr_format = 2 if version == "0.4" else 3
    group = zarr.open_group(folder, mode="a", zarr_format=zarr_format)
    attributes = dict(group.attrs)
    listed = [str(n) for n in ome_of(attributes).get("labels") or ()]
    if name not in listed:
        listed.append(name)
    if version == "0.4":
        group.update_attributes({"labels": listed})
    else:
        ome = {"version": version, **dict(attributes.get("ome") or {}), "labels": listed}
        group.update_attributes({"ome": ome})


def copy_other_entries(target: Path, fresh: Path, version: str) -> None:
    """Copy the other entries of an image's group, such as labels and tables, to a new group.

    Parameters
    ----------
    target : Path
        The group that will be replaced, if it exists.
    fresh : Path
        The group that replaces it.
    version : str
        Version of OME-Zarr of `fresh`.

    Raises
    ------
    FormatError
        If the new group would mix two Zarr formats, or the target is a collection of images.
    """
    others = _other_entries(target)
    zarrs = [p for p in others if any((p / name).is_file() for name in METADATA)]
    found, wanted = (2 if (target / ".zgroup").is_file() else 3), (2 if version == "0.4" else 3)
    if zarrs and found != wanted:
        names = ", ".join(repr(p.name) for p in zarrs)
        raise FormatError(
            f"{target}: it holds {names} beside its image, in Zarr format {found}; an image in "
            f"format {wanted} would leave them unreadable. Write it with version="
            f"{'0.4' if found == 2 else '0.5'!r}, or to another name"
        )
    for entry in others:
        destination = fresh / entry.name
        if destination.exists():
            raise FormatError(
                f"{target}: it holds {entry.name!r} beside its image, where a level of the new "
                "image would lie; write it to another name, or move that away"
            )
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, destination, symlinks=True, copy_function=_link_or_copy)
        else:
            _link_or_copy(str(entry), str(destination))


def _link_or_copy(source: str, target: str) -> None:
    """Make a hard link to a file, or a copy if the file system has no hard links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)


def _other_entries(target: Path) -> list[Path]:
    """Return the entries of a group other than its metadata and the levels of its image."""
    if not target.is_dir():
        return []
    import zarr

    try:
        group = zarr.open_group(target, mode="r")
    except Exception:  # no valid Zarr group: nothing of it is kept
        return []
    entries = ome_of(dict(group.attrs)).get("multiscales")
    if not isinstance(entries, list) or not entries:
        inside = describe_collection(group)
        if inside is not None:
            raise FormatError(f"{target} is not replaced: {inside}")
        return []
    levels = set(METADATA)
    for entry in entries:
        with suppress(KeyError, TypeError):
            levels |= {str(d["path"]).split("/")[0] for d in entry["datasets"]}
    return sorted(p for p in target.iterdir() if p.name not in levels)
