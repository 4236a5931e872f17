"""The napari plugin of the manifest ``napari.yaml``: reads and writes the formats of `io`.

Layers have the geometry of the image, oblique ones by their affine; label images become labels
layers. A format that cannot hold an image raises `GeometryLossError`, as in `spatial_duck.write`.
"""

from __future__ import annotations

from inspect import unwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.interop._napari import from_napari, to_napari
from spatial_duck.io import read, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.array import SpatialArray

__all__ = ["get_reader", "write_image", "write_labels"]

#: Parts of a layer's transform.
_PARTS = ("affine", "scale", "translate", "rotate", "shear")
#: NIfTI's intent of label images.
_NIFTI_LABEL = 1002


def get_reader(path: str | list[str]) -> Callable[[Any], list[Any]] | None:
    """Return the function that reads a path as layers, for napari to call.

    Parameters
    ----------
    path : str or list of str
        Files or folders, each of which becomes a layer.
    """
    return None if not path else _read


def _read(path: str | list[str]) -> list[Any]:
    paths = [path] if isinstance(path, str) else list(path)
    layers = []
    for one in paths:
        image = read(one)
        kind = "labels" if _is_labels(image) else "image"
        name = str(one).replace("\\", "/").rstrip("/").rpartition("/")[2].partition(".")[0]
        layers.append(unwrap(to_napari)(image, name=name, kind=kind))
    return layers


def _is_labels(image: SpatialArray) -> bool:
    """Whether the metadata of a file say that its integers are labels."""
    if np.dtype(image.dtype).kind not in "biu":
        return False
    attrs = image.attrs
    nifti, ome = attrs.get("nifti") or {}, attrs.get("ome") or {}
    return (
        "segments" in attrs
        or nifti.get("intent_code") == _NIFTI_LABEL
        or "image-label" in attrs
        or "image-label" in ome
    )


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer.

    Parameters
    ----------
    path : str
        Target, whose suffix names the format.
    data : array or list of arrays
        Voxels; the first level is written where there are several.
    meta : dict
        The layer's affine, units, names and metadata, as napari passes them.

    Returns
    -------
    list of str
        The path.
    """
    return _write(path, data, meta, is_labels=False)


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer, in NIfTI with the intent of labels; see `write_image`.

    Parameters
    ----------
    path, data, meta
        As for `write_image`.
    """
    return _write(path, data, meta, is_labels=True)


def _write(path: str, data: Any, meta: dict[str, Any], *, is_labels: bool) -> list[str]:
    if meta.get("multiscale") or isinstance(data, list | tuple):
        data = data[0]
    if meta.get("rgb"):
        raise FormatError(
            f"{path}: the colours of an RGB layer are no axis of the image; add the image to "
            "napari as channels, or use spatial_duck.write"
        )
    image = from_napari((data, _with_affine(meta)))
    if is_labels:
        nifti = {**(image.attrs.get("nifti") or {}), "intent_code": _NIFTI_LABEL}
        image = image.replace(attrs={**image.attrs, "nifti": nifti})
    write(path, image, overwrite=True)
    return [path]


def _with_affine(meta: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's metadata with its transform, which napari passes in parts, as one affine."""
    rest = {k: v for k, v in meta.items() if k not in _PARTS}
    if meta.get("affine") is None:
        return rest | {k: meta[k] for k in ("scale", "translate") if k in meta}
    affine = np.asarray(meta["affine"], np.float64)
    n = len(affine) - 1
    matrix = np.eye(n + 1)
    linear = np.diag(np.broadcast_to(meta.get("scale", 1.0), n))
    shear = np.asarray(meta.get("shear", 0.0), np.float64)
    if shear.ndim == 1:
        upper = np.eye(n)
        upper[np.triu_indices(n, 1)] = shear
        shear = upper
    linear = shear @ linear if shear.ndim == 2 else linear
    rotate = np.asarray(meta.get("rotate", 0.0), np.float64)
    matrix[:-1, :-1] = rotate @ linear if rotate.ndim == 2 else linear
    matrix[:-1, -1] = np.broadcast_to(meta.get("translate", 0.0), n)
    return rest | {"affine": affine @ matrix}
