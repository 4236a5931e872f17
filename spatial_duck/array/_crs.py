"""Refuse rasters of different coordinate reference systems, whose numbers do not compare."""

from __future__ import annotations

import re
from typing import Any

from spatial_duck.errors import GeometryMismatchError

__all__ = ["check_crs"]

#: The code of a system, as in ``EPSG:32633`` and ``AUTHORITY["EPSG","32633"]``.
_CODE = re.compile(r"""\bEPSG["']?\s*[:,]\s*["']?(\d+)""", re.IGNORECASE)


def check_crs(image: Any, target: Any, function: str) -> None:
    """Check that an image and what it is brought onto name no two different systems.

    A system is an image's ``attrs["crs"]``, as rasters have it. It is spelled in many ways, so that
    those without a code of EPSG are not compared.

    Raises
    ------
    GeometryMismatchError
        If their codes differ.
    """
    first, second = _code(image), _code(target)
    if first is not None and second is not None and first != second:
        raise GeometryMismatchError(
            f"{function}: the image's attrs['crs'] is EPSG:{first}, and that of the target "
            f"EPSG:{second}; reproject the raster first, with rasterio.warp.reproject or "
            "to_rioxarray(image).rio.reproject, or take target.geometry if the numbers are meant "
            "in one system"
        )


def _code(image: Any) -> str | None:
    """Return the code of an image's system; well-known text ends with that of the whole."""
    attrs = getattr(image, "attrs", None)
    given = attrs.get("crs") if isinstance(attrs, dict) else None
    found = _CODE.findall(str(given)) if given is not None else []
    return found[-1] if found else None
