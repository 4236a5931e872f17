"""Warn where values that mark missing data are processed like all others."""

from __future__ import annotations

import warnings
from typing import Any

__all__ = ["warn_of_nodata"]


def warn_of_nodata(image: Any, function: str, stacklevel: int = 3) -> None:
    """Warn that values which mark missing data are mixed with their neighbours.

    Such a value is an image's ``attrs["nodata"]``, as rasters have it. By default the warning is
    that of the caller's caller.
    """
    value = getattr(image, "attrs", {}).get("nodata")
    # NaN makes its neighbours NaN, which nobody takes for values.
    if value is None or value != value:
        return
    warnings.warn(
        f"{function}: values of {value!r} stand for nothing (attrs['nodata']), and are taken like "
        "others; make them NaN first, with from_rasterio(dataset, masked=True), or with "
        "np.where(image == nodata, np.nan, image).replace(attrs={**image.attrs, 'nodata': np.nan})",
        UserWarning,
        stacklevel=stacklevel + 1,
    )
