"""Checksums of the attributes of a Zarr group, by which later changes are detected.

Chunks have checksums; the attributes of a group have none, so that one flipped bit could change an
origin unnoticed. Each array of the group therefore holds the CRC-32 of the group's attributes in
attributes of its own::

    "spatial_duck": {"group": "8f1c2a30"}

Other programs may change the attributes on purpose, so a checksum that differs raises a warning and
no error. Arrays without one are not checked.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["check_checksum", "checksum", "note_checksum"]

#: The array's attribute that holds the checksum.
_NAME = "spatial_duck"


def checksum(attributes: Mapping[str, Any]) -> str:
    """Return the checksum of attributes, independent of the order of their keys.

    Parameters
    ----------
    attributes : mapping
        JSON values.

    Examples
    --------
    >>> checksum({"a": 1, "b": [0.1]}) == checksum({"b": [0.1], "a": 1})
    True
    """
    text = json.dumps(attributes, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def note_checksum(array: Any, attributes: Mapping[str, Any]) -> None:
    """Store the checksum of a group's attributes in an array of the group.

    Parameters
    ----------
    array : zarr.Array
        Open for writing.
    attributes : mapping
        Attributes of the group.
    """
    # As they will be read again, with lists in place of tuples.
    plain = json.loads(json.dumps(attributes))
    array.update_attributes({_NAME: {"group": checksum(plain)}})


def check_checksum(path: object, array: Any, attributes: Mapping[str, Any]) -> None:
    """Warn if a group's attributes do not have the checksum that an array of it holds.

    Parameters
    ----------
    path : path or str
        Named in the warning.
    array : zarr.Array
        An array of the group.
    attributes : mapping
        Attributes of the group, as they are read.

    Warns
    -----
    UserWarning
        If they differ.
    """
    own = array.attrs.get(_NAME)
    kept = own.get("group") if isinstance(own, Mapping) else None
    if kept is not None and kept != checksum(attributes):
        warnings.warn(
            f"{path}: its attributes are not those that were written with it: another program "
            "changed them, or they are damaged. Compare them with a copy; if they were changed on "
            "purpose, write the image again for a new checksum",
            UserWarning,
            stacklevel=6,
        )
