"""``.bval`` and ``.bvec`` beside a NIfTI file: b-values and gradients, by FSL's convention.

FSL's directions are along the axes of the voxels, with x reversed if the affine has a positive
determinant ("neurological" storage). Here they are unit vectors along the world's x, y and z, in
the coordinate ``gradient_direction`` of shape (n, 3) with its frame, so that they are right however
the axes are flipped, cut or transposed; ``b_value`` is in s/mm².
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry._world import SPACE_AXES, frame_change

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

    Floats = NDArray[np.float64]

__all__ = ["gradient_coords", "gradient_texts", "sidecars"]

_SUFFIX = re.compile(r"\.nii(\.gz|\.bz2|\.zst)?$", re.IGNORECASE)
#: Most bytes of a file of numbers that is read.
_MAX_BYTES = 1 << 24
B_UNIT = "s/mm^2"


def sidecars(path: Path) -> tuple[Path, Path]:
    """Return the paths of the b-values and directions of a NIfTI file."""
    stem = _SUFFIX.sub("", path.name)
    return path.with_name(stem + ".bval"), path.with_name(stem + ".bvec")


def _fsl_to_world(geometry: Geometry) -> Floats | None:
    """Return the matrix from FSL's directions to the world's, or None for fewer than three axes.

    Parameters
    ----------
    geometry : Geometry
        Geometry with axes named x, y and z, in any order.
    """
    places = [
        geometry.sampled_axes.index(geometry.dims.index(n))
        for n in SPACE_AXES
        if n in geometry.dims
    ]
    rows = [geometry.world.axes.index(n) for n in SPACE_AXES if n in geometry.world.axes]
    if len(places) != 3 or len(rows) != 3:
        return None
    matrix = geometry.direction[np.ix_(rows, places)]
    return matrix @ np.diag([-1.0 if np.linalg.det(matrix) > 0 else 1.0, 1.0, 1.0])


def gradient_coords(path: Path, geometry: Geometry) -> dict[str, Any]:
    """Return the coordinates in the files beside a NIfTI file, along its fourth axis.

    Files that do not fit the image are ignored with a warning.
    """
    if geometry.ndim < 4 or geometry.dims[:3] != SPACE_AXES:
        return {}
    count, coords = geometry.shape[3], dict[str, Any]()
    values, directions = (_read_numbers(file) for file in sidecars(path))
    if values is not None:
        if values.size == count:
            coords["b_value"] = (3, values.ravel(), {"unit": B_UNIT})
        else:
            _warn_unfit(sidecars(path)[0], f"holds {values.size} b-values")
    if directions is not None:
        if directions.shape == (count, 3) != (3, 3):
            directions = directions.T
        to_world = _fsl_to_world(geometry)
        if directions.shape == (3, count) and to_world is not None:
            attrs = {"frame": geometry.frame} if geometry.frame else {}
            coords["gradient_direction"] = (3, (to_world @ directions).T + 0.0, attrs)
        else:
            _warn_unfit(sidecars(path)[1], f"holds directions of shape {directions.shape}")
    return coords


def _warn_unfit(file: Path, what: str) -> None:
    warnings.warn(
        f"{file}: it {what}, which do not fit the image beside it, and is not read",
        UserWarning,
        stacklevel=6,
    )


def _read_numbers(file: Path) -> Floats | None:
    """Return the numbers of a text file as rows; None if there is no valid file."""
    if not file.is_file() or file.stat().st_size > _MAX_BYTES:
        return None
    try:
        lines = file.read_text("ascii").replace(",", " ").splitlines()
        found = np.array([line.split() for line in lines if line.strip()], np.float64)
    except ValueError:
        found = np.array([np.nan])
    if not np.isfinite(found).all():
        _warn_unfit(file, "holds no table of numbers")
        return None
    return found


def gradient_texts(geometry: Geometry, coords: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the texts of ``.bval`` and ``.bvec``; None for one that the image does not have.

    Parameters
    ----------
    geometry : Geometry
        Geometry in the order of the file, fastest axis first.
    coords : mapping of str to Coordinate
        Coordinates of the image.
    """
    texts: list[str | None] = []
    for name in ("b_value", "gradient_direction"):
        found = coords.get(name)
        is_b = name == "b_value"
        if (
            found is None or not found.dims or geometry.dims[3:4] != tuple(found.dims)
            or found.values.dtype.kind not in "iuf" or found.ndim != (1 if is_b else 2)
            or (is_b and found.unit not in (None, B_UNIT))
        ):  # fmt: skip
            texts.append(None)
            continue
        values = np.asarray(found.values, np.float64)
        rows = values[None] if name == "b_value" else _fsl_directions(values, found, geometry)
        texts.append(None if rows is None else _format_rows(rows))
    return texts[0], texts[1]


def _fsl_directions(values: Floats, found: Any, geometry: Geometry) -> Floats | None:
    to_world = _fsl_to_world(geometry)
    if to_world is None or values.shape[1:] != (3,):
        return None
    frame = found.attrs.get("frame")
    if frame is None and geometry.frame is not None:
        return None
    if frame and geometry.frame:
        change = frame_change(str(frame), geometry.frame)
        values = np.stack([sign * values[:, source] for source, sign in change], axis=1)
    return np.linalg.inv(to_world) @ values.T + 0.0


def _format_rows(rows: Floats) -> str:
    return "".join(" ".join(f"{v:.10g}" for v in row) + "\n" for row in rows)
