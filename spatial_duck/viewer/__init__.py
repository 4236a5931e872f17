"""Three linked planes of an image of any size, in the browser: ``spatial-duck view --interactive``.

`open_levels` opens the resolutions of a file, `Scene` cuts planes of them into tiles, `Server`
serves the page and its tiles to a browser on this machine. A tile reads the chunks that it cuts, of
the level that fits the zoom; nothing else is read::

    from spatial_duck.viewer import Scene, Server, open_levels, show

    with Server(Scene(open_levels("volume.ome.zarr"))) as server:
        print(server.url)
        server.wait()

NumPy and the standard library are enough; the page is three small files in ``page/`` and loads
nothing from elsewhere.
"""

from __future__ import annotations

from spatial_duck.viewer._api import Scene, Server, open_levels, show
from spatial_duck.viewer._plot import plot

__all__ = ["Scene", "Server", "open_levels", "plot", "show"]
