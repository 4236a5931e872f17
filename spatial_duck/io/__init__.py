"""Files: `read`, `read_pyramid`, `write`, `info`, …; `Format`, the class of a file format; markups.

How reading and writing work, the formats with what each of them holds, and the recipe for one more
are in ``README.md`` beside this file. Errors are `FormatError` for a file that does not hold what
its format says, `UnsafeInputError` for one that asks for something unsafe, and `GeometryLossError`,
before anything is published, for an image that the format cannot hold.
"""

from __future__ import annotations

from spatial_duck.io._api import Info, info, read, sniff, write
from spatial_duck.io._format import Format
from spatial_duck.io._identity import Identity
from spatial_duck.io._markups import Markup, read_markups, write_markups
from spatial_duck.io._publishing import data_name
from spatial_duck.io._several import list_images, read_pyramid
from spatial_duck.io._source import Source, reporter

__all__ = [
    "Format",
    "Identity",
    "Info",
    "Markup",
    "Source",
    "data_name",
    "info",
    "list_images",
    "read",
    "read_markups",
    "read_pyramid",
    "reporter",
    "sniff",
    "write",
    "write_markups",
]
