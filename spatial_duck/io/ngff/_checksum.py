"""A seal on the attributes of a Zarr group: what changes them afterwards is noticed.

Chunks carry checksums; the words and numbers of a group's attributes carry none, and one flipped
bit makes another origin of them. Each array of the group therefore notes the CRC-32 of all that the
group's attributes say, in attributes of its own::

    "spatial_duck": {"group": "8f1c2a30"}

Other programs may change the attributes on purpose, so a seal that is broken is told by a warning
and refuses nothing. A store without seals is not looked at.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["check", "checksum", "seal"]

#: The array's attribute that holds the seal.
_NAME = "spatial_duck"


def checksum(attributes: Mapping[str, Any]) -> str:
    """Return the checksum of attributes, whatever the order of their keys.

    Parameters
    ----------
    attributes : mapping
        Of what JSON holds.

    Examples
    --------
    >>> checksum({"a": 1, "b": [0.1]}) == checksum({"b": [0.1], "a": 1})
    True
    """
    text = json.dumps(attributes, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def seal(array: Any, attributes: Mapping[str, Any]) -> None:
    """Note the checksum of a group's attributes in an array of the group.

    Parameters
    ----------
    array : zarr.Array
        Open for writing.
    attributes : mapping
        As they are given to the group.
    """
    # As they will be read back, with lists for tuples.
    plain = json.loads(json.dumps(attributes))
    array.update_attributes({_NAME: {"group": checksum(plain)}})


def check(path: object, array: Any, attributes: Mapping[str, Any]) -> None:
    """Warn if a group's attributes are not those that an array of it was sealed with.

    Parameters
    ----------
    path : path or str
        For the warning.
    array : zarr.Array
    attributes : mapping
        Of the group, as they are read.

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
            "changed them, or they are damaged. Compare them with a copy; what another program "
            "changed on purpose, write again to seal it",
            UserWarning,
            stacklevel=6,
        )
