"""`open_levels` and `show`: the resolutions of a file, and an image in the browser."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Unpack

import numpy as np

from spatial_duck._display._colors import label_names, segment_colors
from spatial_duck._progress import in_notebook
from spatial_duck._signatures import show_keywords
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.io._options import ReadOptions
from spatial_duck.viewer._browser import open_browser
from spatial_duck.viewer._scene import Scene
from spatial_duck.viewer._server import Server

__all__ = ["Scene", "Server", "open_levels", "show"]


@show_keywords(ReadOptions)
def open_levels(
    path: str | os.PathLike[str],
    level: int | None = None,
    *,
    format: str | None = None,
    **options: Unpack[ReadOptions],
) -> list[SpatialArray]:
    """Open all resolutions of a file, the finest first; voxels are read when they are seen.

    Parameters
    ----------
    path : path or str
        As for `spatial_duck.read`. A compressed file without chunks is read into memory.
    level : int, optional
        The finest to open.
    format : str, optional
        As for `spatial_duck.read`.
    **options
        As for `spatial_duck.read`.

    Returns
    -------
    list of SpatialArray
        One for a file without levels; `Scene` adds views of every second voxel.
    """
    from spatial_duck import io

    first = level or 0
    # `info` raises for a level that does not exist.
    count = io.info(path, format=format, level=first, **options).levels
    found: list[SpatialArray] = []
    for n in range(first % count, count):
        image = io.read(path, format=format, level=n, **options)
        # A level with other axes is no resolution of the image.
        if not found or image.dims == found[0].dims:
            found.append(image)
    return found


def show(
    image: SpatialArray,
    *overlays: SpatialArray,
    names: Sequence[str] = (),
    limits: Sequence[float] | None = None,
    opacity: float | Sequence[float] = 0.5,
    browser: bool | None = None,
    proxy: str | None = None,
) -> Server:
    """Show three linked planes of an image in the browser; voxels are read when they are seen.

    In a notebook they are shown in the output of the cell whose last line calls this.

    Parameters
    ----------
    image : SpatialArray
        On any backend.
    *overlays : SpatialArray
        Images on grids of their own, shown over it; labels are coloured, a stack of segments is
        shown as one image of labels.
    names : sequence of str, optional
        Names of the image and its overlays.
    limits : pair of float, optional
        Values of the image that are shown as black and white at first.
    opacity : float or sequence of float, optional
        Opacity of the overlays at first, or one for each.
    browser : bool, optional
        Open the page in the browser; by default outside of notebooks.
    proxy : str, optional
        See `Server`.

    Returns
    -------
    Server
        Serves the page at its `url` until it is closed, or the process ends.
    """
    image = _merge_segments(as_image(image, "show"))
    over = [[_merge_segments(as_image(each, "show", "overlay"))] for each in overlays]
    scene = Scene([image], *over, names=names, limits=limits, opacity=opacity)
    server = Server(scene, proxy).__enter__()
    if not in_notebook() if browser is None else browser:
        open_browser(server.url)
    return server


def _merge_segments(image: SpatialArray) -> SpatialArray:
    """Return a stack of segments as one image of their numbers, and other images unchanged."""
    numbers = image.coords.get("segment_number")
    if numbers is None or len(numbers.dims) != 1 or numbers.dims[0] not in image.dims:
        return image
    axis = image.dims.index(numbers.dims[0])
    if image.dtype.kind not in "biu" or not image.shape[axis]:
        return image
    names, colors = label_names(image), segment_colors(image)
    table = [
        {"label": n, "name": names.get(n, ""), "color": bytes(colors.get(n, ())).hex()}
        for n in map(int, numbers.values)
    ]
    shape = [-1 if a == axis else 1 for a in range(image.ndim)]
    weights = np.asarray(numbers.values, np.int32).reshape(shape)
    merged: SpatialArray = ((image != 0) * weights).max(axis=axis)
    return merged.replace(attrs={**image.attrs, "segments": table})
