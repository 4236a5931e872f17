"""Three linked planes of an image of any size, in the browser: ``spatial-duck view --interactive``.

`open_levels` finds the resolutions of a file, `Scene` says what is seen where and cuts it into
tiles, `Server` hands the page and the tiles it asks for to a browser on this machine. A tile reads
the chunks that it cuts, of the level that fits the zoom; nothing else is read::

    from spatial_duck.viewer import Scene, Server, open_levels

    with Server(Scene(open_levels("volume.ome.zarr"))) as server:
        print(server.url)
        server.wait()

NumPy and the standard library are enough; the page is three small files in ``page/`` and loads
nothing from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spatial_duck.array import as_image
from spatial_duck.viewer._browser import open_browser
from spatial_duck.viewer._scene import Scene
from spatial_duck.viewer._server import Server

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from spatial_duck.array import SpatialArray

__all__ = ["Scene", "Server", "open_levels", "show"]


def open_levels(path: str | os.PathLike[str], level: int | None = None) -> list[SpatialArray]:
    """Open all resolutions of a file, the finest first; voxels are read when they are seen.

    Parameters
    ----------
    path : path or str
        As for `spatial_duck.read`. A compressed file without chunks is read into memory.
    level : int, optional
        The finest to open.

    Returns
    -------
    list of SpatialArray
        One for a file without levels; `Scene` adds views of every second voxel.
    """
    from spatial_duck import io

    first = level or 0
    # Which refuses a level that is not there.
    count = io.info(path, level=first).levels
    found: list[SpatialArray] = []
    for n in range(first % count, count):
        image = io.read(path, level=n)
        # Levels may hold other things than scales; what has other axes is left out.
        if not found or image.dims == found[0].dims:
            found.append(image)
    return found


def show(
    image: SpatialArray,
    *overlays: SpatialArray,
    names: Sequence[str] = (),
    limits: Sequence[float] | None = None,
    browser: bool = True,
) -> Server:
    """Show three linked planes of an image in the browser; voxels are read when they are seen.

    Parameters
    ----------
    image : SpatialArray
        On any backend.
    *overlays : SpatialArray
        Laid over it, each in its own place; labels are coloured.
    names : sequence of str, optional
        Of all.
    limits : pair of float, optional
        Values of the image to show as black and white at first.
    browser : bool, optional
        Open the page; else only serve it.

    Returns
    -------
    Server
        Serves the page at its `url` until it is closed, or the process ends.
    """
    image = as_image(image, "show")
    over = [[as_image(each, "show", "overlay")] for each in overlays]
    server = Server(Scene([image], *over, names=names, limits=limits)).__enter__()
    if browser:
        open_browser(server.url)
    return server
