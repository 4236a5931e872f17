"""Labels beside an image, and whatever else others have put into its group.

``labels/`` in an image's group is a group of images whose values name objects; its attributes list
them. Colours and properties of the values stand in each one's ``image-label``, which is kept in
``attrs["ome"]["image-label"]``.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.io.ngff._contents import describe_collection
from spatial_duck.io.ngff._metadata import ome_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_label", "keep_others", "list_label", "with_source"]

_METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")


def check_label(name: str, dtype: Any) -> None:
    """Refuse a name that is no single folder's, and voxels that are no labels."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise FormatError(f"label must be the name of one folder, got {name!r}")
    if np.dtype(dtype).kind not in "iu":
        raise FormatError(
            f"labels are integers in OME-Zarr, got {np.dtype(dtype)} voxels; use "
            "image.astype('uint8') or another integer type"
        )


def with_source(attributes: dict[str, Any], version: str) -> None:
    """Let attributes say that their image holds labels of the image two groups above."""
    ome = attributes if version == "0.4" else attributes["ome"]
    said = ome.get("image-label") or {"version": version}
    ome["image-label"] = {**said, "source": {"image": "../../"}}


def list_label(folder: Any, name: str, version: str) -> None:
    """Add a label image to those that the group ``labels`` lists, which is made where needed."""
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


def keep_others(target: Path, fresh: Path, version: str) -> None:
    """Take over what lies in a group besides its image, such as labels and tables.

    Parameters
    ----------
    target : Path
        The group that is going to be replaced, if there is one.
    fresh : Path
        What replaces it, without what lies beside the image's levels.
    version : str
        Of OME-Zarr, that `fresh` is written in.

    Raises
    ------
    FormatError
        If Zarr of two formats would lie in one group, or the target is a collection of images.
    """
    others = _others(target)
    zarrs = [p for p in others if any((p / name).is_file() for name in _METADATA)]
    found, wanted = (2 if (target / ".zgroup").is_file() else 3), (2 if version == "0.4" else 3)
    if zarrs and found != wanted:
        names = ", ".join(repr(p.name) for p in zarrs)
        raise FormatError(
            f"{target}: it holds {names} beside its image, in Zarr format {found}; an image in "
            f"format {wanted} would leave them unreadable. Write it with version="
            f"{'0.4' if found == 2 else '0.5'!r}, or to another name"
        )
    for entry in others:
        place = fresh / entry.name
        if place.exists():
            raise FormatError(
                f"{target}: it holds {entry.name!r} beside its image, where a level of the new "
                "image would lie; write it to another name, or move that away"
            )
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, place, symlinks=True, copy_function=_link)
        else:
            _link(str(entry), str(place))


def _link(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the file system has no such names."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)


def _others(target: Path) -> list[Path]:
    """Return what lies in a group besides its metadata and the levels of its image."""
    if not target.is_dir():
        return []
    import zarr

    try:
        group = zarr.open_group(target, mode="r")
    except Exception:  # no Zarr group, or one that is not valid: it is replaced as it is
        return []
    entries = ome_of(dict(group.attrs)).get("multiscales")
    if not isinstance(entries, list) or not entries:
        inside = describe_collection(group)
        if inside is not None:
            raise FormatError(f"{target} is not replaced: {inside}")
        return []
    levels = set(_METADATA)
    for entry in entries:
        with suppress(KeyError, TypeError):
            levels |= {str(d["path"]).split("/")[0] for d in entry["datasets"]}
    return sorted(p for p in target.iterdir() if p.name not in levels)
