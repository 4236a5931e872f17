"""Interactive viewers: `view` hands images to napari, or to NiiVue in a notebook.

    from spatial_duck.interop import view
    view(image, labels)                 # the installed viewer; of both, NiiVue in a notebook
    view(image, viewer="napari")
    view(image, viewer=my_viewer)       # an open napari viewer or NiiVue widget

napari draws arrays lazily; images with the same dims overlap correctly, each on its own grid.
NiiVue gets NIfTI in memory, so that images need a frame and all voxels are read. The widgets of
itkwidgets take ITK images: ``itkwidgets.view(spatial_duck.to_itk(image))``.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray

__all__ = ["view"]


def view(image: SpatialArray, *overlays: SpatialArray, viewer: Any = None) -> Any:
    """Show images in an interactive viewer.

    Parameters
    ----------
    image : SpatialArray
        The image, drawn first.
    *overlays : SpatialArray
        Images drawn over it, half transparent, each on its own grid; in napari those of bool or
        int as labels.
    viewer : {"napari", "niivue"} or a viewer, optional
        The viewer to open, or an open one. By default the one that is installed; of both, NiiVue in
        a notebook and napari elsewhere.

    Returns
    -------
    napari.Viewer or ipyniivue.NiiVue
        The viewer, with the images added.

    Raises
    ------
    ImportError
        If there is no viewer.
    FrameError, GeometryLossError
        If NiiVue is used, and NIfTI cannot hold an image.
    """
    if viewer is None:
        order = ("ipyniivue", "napari") if "ipykernel" in sys.modules else ("napari", "ipyniivue")
        found = [name for name in order if name in sys.modules or find_spec(name)]
        if not found:
            raise ImportError(
                "view needs 'ipyniivue' (notebooks) or 'napari', and neither is installed: pip "
                "install ipyniivue, or pip install 'napari[all]'. image.show() and `spatial-duck "
                "view FILE --interactive` need neither: they open the browser"
            )
        viewer = "napari" if found[0] == "napari" else "niivue"
    if isinstance(viewer, str):
        if viewer not in _OPENERS:
            raise ValueError(f"viewer must be 'napari', 'niivue' or a viewer, got {viewer!r}")
        viewer = _OPENERS[viewer]()
    if hasattr(viewer, "add_labels"):
        _in_napari(viewer, image, overlays)
    elif hasattr(viewer, "load_volumes"):
        _in_niivue(viewer, image, overlays)
    else:
        raise TypeError(f"viewer must be napari's or a NiiVue widget, got {type(viewer).__name__}")
    return viewer


def _napari() -> Any:
    napari = require("napari", "Looking at images in napari")
    return napari.Viewer()


def _niivue() -> Any:
    ipyniivue = require("ipyniivue", "Looking at images in NiiVue")
    return ipyniivue.NiiVue()


_OPENERS = {"napari": _napari, "niivue": _niivue}


def _is_labels(image: SpatialArray) -> bool:
    return bool(np.dtype(image.dtype).kind in "biu")


def _in_napari(viewer: Any, image: SpatialArray, overlays: tuple[SpatialArray, ...]) -> None:
    from spatial_duck.interop._napari import to_napari

    for number, layer in enumerate((image, *overlays)):
        labels = number > 0 and _is_labels(layer)
        if labels and np.dtype(layer.dtype).kind == "b":
            layer = layer.astype("u1")
        data, arguments, _ = unwrap(to_napari)(layer, kind="labels" if labels else "image")
        if number:
            arguments |= {"opacity": 0.5}
        (viewer.add_labels if labels else viewer.add_image)(data, **arguments)


def _in_niivue(viewer: Any, image: SpatialArray, overlays: tuple[SpatialArray, ...]) -> None:
    from spatial_duck.io import write

    volumes = []
    with tempfile.TemporaryDirectory() as folder:
        for number, layer in enumerate((image, *overlays)):
            if np.dtype(layer.dtype).kind == "b":
                layer = layer.astype("u1")
            path = Path(folder) / f"{number}.nii.gz"
            write(path, layer)
            volume: dict[str, Any] = {
                "name": path.name,
                "data": path.read_bytes(),
                "colormap": "gray",
            }
            if number:
                volume |= {"opacity": 0.5, "colormap": "red"}
            volumes.append(volume)
    viewer.load_volumes(volumes)
