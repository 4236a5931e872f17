"""Coordinates of plain axes from NRRD's kinds of axes, and back.

============================  ==================================================================
kind                          coordinate, with the kind as attribute ``kind``
============================  ==================================================================
vector, 3-vector, normal, …   ``component`` x, y, z, if there is one for each axis of the space and
                              no measurement frame rotates them; else ``channel`` 0, 1, …
3D-symmetric-matrix           ``component`` xx, xy, xz, yy, yz, zz; 2-D ones xx, xy, yy
3D-masked-symmetric-matrix    ``channel`` confidence, xx, xy, xz, yy, yz, zz; 2-D ones likewise
RGB-color, RGBA-color, …      ``channel`` red, green, blue (and alpha); hue, saturation, value; …
complex                       ``channel`` real, imaginary
others except list            ``channel`` 0, 1, …
============================  ==================================================================

A diffusion series of the NAMIC convention (keys ``DWMRI_b-value``, ``DWMRI_gradient_0000``, …) has
coordinates ``b_value`` and ``gradient_direction`` along its list axis: a b-value is that of the key
times the squared length of the gradient, and the measurement frame maps gradients to the space.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry._world import SPACE_AXES, frame_change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["axis_kinds", "gradient_fields", "header_coords", "written_coords"]

_TENSOR_COMPONENTS = {
    "2d-symmetric-matrix": ["xx", "xy", "yy"],
    "3d-symmetric-matrix": ["xx", "xy", "xz", "yy", "yz", "zz"],
}
_CHANNEL_NAMES = {
    "2d-masked-symmetric-matrix": ["confidence", "xx", "xy", "yy"],
    "3d-masked-symmetric-matrix": ["confidence", "xx", "xy", "xz", "yy", "yz", "zz"],
    "rgb-color": ["red", "green", "blue"],
    "3-color": ["red", "green", "blue"],
    "rgba-color": ["red", "green", "blue", "alpha"],
    "hsv-color": ["hue", "saturation", "value"],
    "xyz-color": ["X", "Y", "Z"],
    "complex": ["real", "imaginary"],
}
_VECTOR_KINDS = frozenset(
    ["vector", "covariant-vector", "normal", "2-vector", "3-vector", "3-gradient", "3-normal"]
)
#: Kinds of axes without a coordinate.
_BARE_KINDS = frozenset(["list", "domain", "space", "time", "none", "???", ""])
_GRADIENT = re.compile(r"DWMRI_gradient_(\d{1,9})$")
_B_VALUE = "DWMRI_b-value"


def header_coords(
    fields: Mapping[str, Any], keys: dict[str, Any], geometry: Geometry
) -> dict[str, Any]:
    """Return the coordinates of plain axes, and remove the keys that they represent.

    Parameters
    ----------
    fields : mapping
        NRRD's fields.
    keys : dict
        The file's own keys and other fields; those that a coordinate represents are removed.
    geometry : Geometry
        Geometry of the image, slowest axis first.
    """
    coords: dict[str, Any] = {}
    kinds = [str(k) for k in fields.get("kinds") or ()][::-1]
    frame = _measurement_frame(keys)
    if len(kinds) != geometry.ndim:
        kinds = [""] * geometry.ndim
    plain = [i for i in range(geometry.ndim) if i not in geometry.sampled_axes]
    for axis in plain:
        name, value = _coord_of_kind(kinds[axis], axis, geometry, frame)
        if name and name not in coords:
            coords[name] = value
    list_axes = [i for i in plain if kinds[i].lower() in _BARE_KINDS]
    return coords | _gradients(keys, geometry, list_axes, frame)


def _measurement_frame(keys: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """Return the matrix from measured to world coordinates; None if it is the identity."""
    given = keys.get("measurement frame")
    if given is None:
        return None
    matrix = np.asarray(given, np.float64).T
    same = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and np.allclose(
        matrix, np.eye(len(matrix))
    )  # fmt: skip
    return None if same else matrix


def _coord_of_kind(
    kind: str, axis: int, geometry: Geometry, frame: NDArray[np.float64] | None
) -> tuple[str, Any]:
    lower, count = kind.lower(), geometry.shape[axis]
    if lower in _BARE_KINDS:
        return "", None
    space = [n for n in geometry.world.axes if n in SPACE_AXES]
    attrs: dict[str, Any] = {"kind": kind}
    if lower in _VECTOR_KINDS and count == len(space) and frame is None:
        if geometry.frame is not None:
            attrs["frame"] = geometry.frame
        return "component", (axis, space, attrs)
    if len(names := _TENSOR_COMPONENTS.get(lower, [])) == count and frame is None:
        return "component", (axis, names, attrs)
    names = _CHANNEL_NAMES.get(lower) or _TENSOR_COMPONENTS.get(lower) or []
    return "channel", (axis, names if len(names) == count else list(range(count)), attrs)


def _gradients(
    keys: dict[str, Any],
    geometry: Geometry,
    list_axes: Sequence[int],
    frame: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Return the coordinates of a diffusion series: b-values and gradient directions."""
    found = {int(m[1]): str(v) for k, v in keys.items() if (m := _GRADIENT.match(k))}
    axes = [i for i in list_axes if geometry.shape[i] == len(found)]
    if not found or len(axes) != 1 or sorted(found) != list(range(len(found))):
        return {}
    try:
        highest = float(keys[_B_VALUE])
        vectors = np.array([found[n].split() for n in range(len(found))], np.float64)
    except (KeyError, ValueError):
        return {}
    if vectors.shape[1:] != (3,):
        return {}
    if frame is not None and frame.shape == (3, 3):
        vectors = vectors @ frame.T
    lengths = np.linalg.norm(vectors, axis=1)
    unit = np.divide(vectors, lengths[:, None], out=np.zeros_like(vectors),
                     where=lengths[:, None] > 0)  # fmt: skip
    for name in [k for k in keys if _GRADIENT.match(k)] + [_B_VALUE, "measurement frame"]:
        keys.pop(name, None)
    attrs = {"frame": geometry.frame} if geometry.frame else {}
    return {
        "b_value": (axes[0], highest * lengths**2, {"unit": "s/mm^2"}),
        "gradient_direction": (axes[0], unit, attrs),
    }


# --- writing ------------------------------------------------------------------------------


def axis_kinds(geometry: Geometry, coords: Mapping[str, Any]) -> dict[int, str]:
    """Return the kind of each plain axis whose coordinate has one, by axis.

    Parameters
    ----------
    geometry : Geometry
        Geometry of the image as it is written.
    coords : mapping of str to Coordinate
        Coordinates of the image.
    """
    kinds: dict[int, str] = {}
    for name in ("component", "channel"):
        found = coords.get(name)
        if found is None or not found.dims or found.dims[0] not in geometry.dims:
            continue
        axis = geometry.dims.index(found.dims[0])
        labels = [str(v) for v in found.values.tolist()]
        kind = _written_kind(name, labels, str(found.attrs.get("kind", "")), geometry)
        if kind:
            kinds[axis] = kind
    return kinds


def _written_kind(name: str, labels: list[str], read_kind: str, geometry: Geometry) -> str | None:
    """Return the kind for the labels of an axis: the one that was read if it still fits them."""
    space = [n for n in geometry.world.axes if n in SPACE_AXES]
    lower = read_kind.lower()
    wanted = _TENSOR_COMPONENTS.get(lower) or _CHANNEL_NAMES.get(lower)
    if name == "component":
        if labels == space:
            return read_kind if lower in _VECTOR_KINDS else "vector"
        for kind, names in (("3D-symmetric-matrix", "3d-symmetric-matrix"),
                            ("2D-symmetric-matrix", "2d-symmetric-matrix")):  # fmt: skip
            if labels == _TENSOR_COMPONENTS[names]:
                return kind
        return None
    if read_kind and wanted:
        return read_kind if labels == wanted else None
    if labels in (_CHANNEL_NAMES["rgb-color"], _CHANNEL_NAMES["rgba-color"]):
        return "RGB-color" if len(labels) == 3 else "RGBA-color"
    # Other kinds fit if the labels are the numbers that reading gives them.
    return read_kind if read_kind and labels == [str(n) for n in range(len(labels))] else None


def written_coords(geometry: Geometry, coords: Mapping[str, Any]) -> list[str]:
    """Return the names of the coordinates that kinds and keys can hold.

    Parameters
    ----------
    geometry : Geometry
        Geometry of the image as it is written.
    coords : mapping of str to Coordinate
        Coordinates of the image.
    """
    names = []
    for axis, kind in axis_kinds(geometry, coords).items():
        name, again = _coord_of_kind(kind, axis, geometry, None)
        if name in coords and [str(v) for v in again[1]] == [str(v) for v in coords[name].values]:
            names.append(name)
    return names + (["b_value", "gradient_direction"] if gradient_fields(geometry, coords) else [])


def gradient_fields(geometry: Geometry, coords: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of a diffusion series; none if an image is not one."""
    values, found = coords.get("b_value"), coords.get("gradient_direction")
    if values is None or found is None or values.dims != found.dims or not values.dims:
        return {}
    vectors, b = np.asarray(found.values, np.float64), np.asarray(values.values, np.float64)
    frame = found.attrs.get("frame")
    plain = [n for i, n in enumerate(geometry.shape) if i not in geometry.sampled_axes]
    if values.unit not in (None, "s/mm^2") or plain.count(len(b)) != 1:
        return {}
    if vectors.shape[1:] != (3,) or not np.isfinite(b).all() or (b < 0).any() or (
        frame is None and geometry.frame is not None
    ):  # fmt: skip
        return {}
    if frame and geometry.frame:
        change = frame_change(str(frame), geometry.frame)
        vectors = np.stack([sign * vectors[:, source] for source, sign in change], axis=1)
    highest = float(b.max(initial=0.0))
    scaled = vectors * np.sqrt(b / highest if highest else b)[:, None] + 0.0
    fields = {"modality": "DWMRI", _B_VALUE: repr(highest)}
    fields |= {
        f"DWMRI_gradient_{n:04d}": " ".join(repr(float(v)) for v in row)
        for n, row in enumerate(scaled)
    }
    return fields
