"""Files with several images: `read_pyramid` for levels, `list_images` for the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import spatial_duck
from spatial_duck._signatures import show_keywords
from spatial_duck.io._api import info, location_and_format, read
from spatial_duck.io._identity import Identity
from spatial_duck.io._location import is_remote, parse_location
from spatial_duck.io._options import ReadOptions
from spatial_duck.io._registry import format_of

__all__ = ["list_images", "read_pyramid"]


@show_keywords(ReadOptions)
def read_pyramid(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    dims: Sequence[str | None] | None = None,
    lazy: bool | None = None,
    **options: Unpack[ReadOptions],
) -> spatial_duck.Pyramid:
    """Open all levels of an image; nothing is computed from another level.

    Parameters
    ----------
    path, format, dims, lazy
        As for `spatial_duck.read`.
    **options
        As for `spatial_duck.read`.

    Returns
    -------
    Pyramid
        The finest level first, each with its geometry in the file; one level if the file has no
        others.

    Raises
    ------
    FormatError, UnsafeInputError
        As for `spatial_duck.read`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import spatial_duck as sd
    >>> image = sd.SpatialArray(np.zeros((128, 256)), spacing=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sd.write(f"{folder}/a.ome.zarr", image, levels=2)
    ...     [level.shape for level in sd.read_pyramid(f"{folder}/a.ome.zarr")]
    [(128, 256), (64, 128)]
    """
    from spatial_duck.pyramids import Pyramid  # `info` does not need it

    if "level" in options:
        raise TypeError(
            "read_pyramid opens all levels and has no level=; read(path, level=...) opens one"
        )
    location, chosen = location_and_format(path, format)
    chosen.check_options("read", options, without=("level",))
    # A folder that was exchanged for another is told by its own inode.
    identity = Identity.of([] if is_remote(location) else [location])
    name = chosen.name
    count = info(path, format=name, **options).levels
    levels = range(count) if count > 1 else [None]
    opened = [read(path, format=name, level=n, dims=dims, lazy=lazy, **options) for n in levels]
    identity.check()
    return Pyramid(opened)


def list_images(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the paths for ``read(path, image=...)``: the images inside a group of OME-Zarr.

    These are labels of an image, fields of a plate or well, series of bioformats2raw, images of a
    scene, or of any group. Metadata alone are read.

    Parameters
    ----------
    path : path or str
        A group of OME-Zarr, or a file of any format.

    Returns
    -------
    tuple of str
        Paths inside the group; ``"."`` for the group itself if it is an image, and for a file that
        holds one image.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    location = parse_location(path)
    found = None if is_remote(location) else format_of(Path(location))
    if found is not None and not found.name.startswith("ome-zarr"):
        return (".",)
    from spatial_duck.io.ngff._contents import list_images as list_inside
    from spatial_duck.io.ngff._format import open_group

    return tuple(list_inside(open_group(location)[0]))
