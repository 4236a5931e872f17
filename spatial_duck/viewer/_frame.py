"""View coordinates: which way an image is seen, and the planes that are shown of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry._world import SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["Frame", "Plane", "frame_of", "planes_of", "space_of"]

_LINES = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
_OPPOSITE = dict(zip("LRPASI", "RLAPIS", strict=True))
_NAMES = ("sagittal", "coronal", "axial")


class Frame(NamedTuple):
    """View coordinates: ``world = base + axes @ view`` over the world's axes of space.

    Attributes
    ----------
    world : tuple of str
        The world's axes of space, in the order of its rows.
    names : tuple of str
        Of the view coordinates.
    base : ndarray, shape (n_world,)
    axes : ndarray, shape (n_world, n_view)
        Orthonormal columns.
    letters : tuple of (str, str)
        Where each view coordinate comes from and runs to, or empty.
    """

    world: tuple[str, ...]
    names: tuple[str, ...]
    base: NDArray[np.float64]
    axes: NDArray[np.float64]
    letters: tuple[tuple[str, str], ...]


class Plane(NamedTuple):
    """A plane: which view coordinates run across, down and through it (None: it has no depth)."""

    name: str
    across: int
    down: int
    through: int | None


def space_of(geometry: Geometry) -> tuple[list[int], list[int], list[int]]:
    """Return world rows, sampled columns and array axes that are of space."""
    rows = [i for i, name in enumerate(geometry.world.axes) if name in SPACE_AXES]
    columns = [
        k for k in range(len(geometry.sampled_axes)) if rows and geometry.direction[rows, k].any()
    ]
    return rows, columns, [geometry.sampled_axes[k] for k in columns]


def _letter(vector: NDArray[np.float64], names: Sequence[str], frame: str | None) -> str:
    """Return the anatomical letter that a vector runs to most, or nothing."""
    k = int(np.argmax(np.abs(vector)))
    if frame is None or names[k] not in SPACE_AXES:
        return ""
    letter = frame[SPACE_AXES.index(names[k])]
    return letter if vector[k] > 0 else _OPPOSITE[letter]


def frame_of(geometry: Geometry) -> Frame:
    """Return the view coordinates of an image."""
    rows, columns, axes = space_of(geometry)
    names = tuple(geometry.world.axes[r] for r in rows)
    if len(columns) < 2 or len(columns) > len(rows):
        raise GeometryError(
            f"the viewer shows planes of images with two or three axes in space; this one has "
            f"{len(columns)} of {len(rows)}, with dims {geometry.dims!r}. Give its axes the names "
            "x, y and z with dims=, or wrap its data again with sampled="
        )
    if len(columns) == len(rows):
        base = np.zeros(len(rows))
        vectors = list(np.eye(len(rows)))
        labels = list(names)
    else:  # one slice in 3-D, seen in its own plane: columns across, rows down
        base = geometry.origin[rows]
        direction = geometry.direction[np.ix_(rows, columns)]
        across = direction[:, 1]
        down = direction[:, 0] - (direction[:, 0] @ across) * across
        vectors = [across, down / np.linalg.norm(down)]
        labels = [str(geometry.dims[axes[1]]), str(geometry.dims[axes[0]])]
    found = []
    for name, vector in zip(labels, vectors, strict=True):
        letter = _letter(vector, names, geometry.world.frame)
        if letter and letter in "RAS":
            vector, letter = -vector, _OPPOSITE[letter]
        ends = (_OPPOSITE[letter], letter) if letter else ("", "")
        found.append((name, vector, ends))
    if len(columns) == len(rows):
        found.sort(key=lambda row: (_LINES.get(row[2][1], 0), row[0]))
    return Frame(
        names,
        tuple(name for name, _, _ in found),
        base,
        np.stack([vector for _, vector, _ in found], axis=1),
        tuple(ends for _, _, ends in found),
    )


def planes_of(frame: Frame) -> tuple[Plane, ...]:
    """Return the planes that are shown."""

    def name(across: int, down: int, through: int) -> str:
        letter = frame.letters[through][1]
        return _NAMES[_LINES[letter]] if letter else f"{frame.names[across]}{frame.names[down]}"

    if len(frame.names) == 2:
        return (Plane("".join(frame.names), 0, 1, None),)
    return tuple(Plane(name(h, v, n), h, v, n) for h, v, n in ((0, 1, 2), (0, 2, 1), (1, 2, 0)))
