"""``.bval`` and ``.bvec`` beside a NIfTI file: b-values and gradients, by FSL's convention.

FSL's directions go by the axes of the voxels, with x turned where the affine has a positive
determinant ("neurological" storage). Here they are unit vectors along the world's x, y and z, as
the coordinate ``gradient_direction`` of shape (n, 3) with its frame, so that they hold however the
axes are flipped, cut or transposed; ``b_value`` is in s/mm².
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
#: Longest file of numbers that is read.
_LONGEST = 1 << 24
B_UNIT = "s/mm^2"


def sidecars(path: Path) -> tuple[Path, Path]:
    """Return where the b-values and directions of a NIfTI file are."""
    stem = _SUFFIX.sub("", path.name)
    return path.with_name(stem + ".bval"), path.with_name(stem + ".bvec")


def _turn(geometry: Geometry) -> Floats | None:
    """Return the matrix from FSL's directions to the world's, or None for fewer than three axes.

    Parameters
    ----------
    geometry : Geometry
        With axes named x, y and z, in any order.
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
    """Return what the files beside a NIfTI file say, along its fourth axis.

    Files that do not fit the image are told by a warning, and not read.
    """
    if geometry.ndim < 4 or geometry.dims[:3] != SPACE_AXES:
        return {}
    count, coords = geometry.shape[3], dict[str, Any]()
    values, directions = (_numbers(file) for file in sidecars(path))
    if values is not None:
        if values.size == count:
            coords["b_value"] = (3, values.ravel(), {"unit": B_UNIT})
        else:
            _warn(sidecars(path)[0], f"holds {values.size} b-values")
    if directions is not None:
        if directions.shape == (count, 3) != (3, 3):
            directions = directions.T
        turn = _turn(geometry)
        if directions.shape == (3, count) and turn is not None:
            facts = {"frame": geometry.frame} if geometry.frame else {}
            coords["gradient_direction"] = (3, (turn @ directions).T + 0.0, facts)
        else:
            _warn(sidecars(path)[1], f"holds directions of shape {directions.shape}")
    return coords


def _warn(file: Path, what: str) -> None:
    warnings.warn(
        f"{file}: it {what}, which do not fit the image beside it, and is not read",
        UserWarning,
        stacklevel=6,
    )


def _numbers(file: Path) -> Floats | None:
    """Return the numbers of a text file as rows, or None where there are none."""
    if not file.is_file() or file.stat().st_size > _LONGEST:
        return None
    try:
        lines = file.read_text("ascii").replace(",", " ").splitlines()
        found = np.array([line.split() for line in lines if line.strip()], np.float64)
    except ValueError:
        found = np.array([np.nan])
    if not np.isfinite(found).all():
        _warn(file, "holds no table of numbers")
        return None
    return found


def gradient_texts(geometry: Geometry, coords: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the texts of ``.bval`` and ``.bvec``, None for what there is not.

    Parameters
    ----------
    geometry : Geometry
        Of the file's axes, fastest first.
    coords : mapping of str to Coordinate
        Of the image.
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
        rows = values[None] if name == "b_value" else _fsl(values, found, geometry)
        texts.append(None if rows is None else _text(rows))
    return texts[0], texts[1]


def _fsl(values: Floats, found: Any, geometry: Geometry) -> Floats | None:
    turn = _turn(geometry)
    if turn is None or values.shape[1:] != (3,):
        return None
    frame = found.attrs.get("frame")
    if frame is None and geometry.frame is not None:
        return None
    if frame and geometry.frame:
        change = frame_change(str(frame), geometry.frame)
        values = np.stack([sign * values[:, source] for source, sign in change], axis=1)
    return np.linalg.inv(turn) @ values.T + 0.0


def _text(rows: Floats) -> str:
    return "".join(" ".join(f"{v:.10g}" for v in row) + "\n" for row in rows)
