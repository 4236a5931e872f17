"""View coordinates: the axes along which an image is shown, and the planes across them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry._world import LETTER_AXES, OPPOSITE, PLANE_NAMES, SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["ViewAxes", "ViewPlane", "space_indices", "view_axes", "view_planes"]


class ViewAxes(NamedTuple):
    """View coordinates: ``world = base + axes @ view`` over the world's axes of space.

    Attributes
    ----------
    world : tuple of str
        The world's axes of space, in the order of its rows.
    names : tuple of str
        Names of the view coordinates.
    base : ndarray, shape (n_world,)
        World position of view coordinates 0.
    axes : ndarray, shape (n_world, n_view)
        Orthonormal columns.
    letters : tuple of (str, str)
        For each view coordinate the anatomical letters that it runs from and to, or empty strings.
    """

    world: tuple[str, ...]
    names: tuple[str, ...]
    base: NDArray[np.float64]
    axes: NDArray[np.float64]
    letters: tuple[tuple[str, str], ...]


class ViewPlane(NamedTuple):
    """The view coordinates that run across, down and through a plane (None: it has no depth)."""

    name: str
    across: int
    down: int
    through: int | None


def space_indices(geometry: Geometry) -> tuple[list[int], list[int], list[int]]:
    """Return the world axes, the columns of the direction and the array axes that are of space."""
    rows = [i for i, name in enumerate(geometry.world.axes) if name in SPACE_AXES]
    columns = [
        k for k in range(len(geometry.sampled_axes)) if rows and geometry.direction[rows, k].any()
    ]
    return rows, columns, [geometry.sampled_axes[k] for k in columns]


def _letter(vector: NDArray[np.float64], names: Sequence[str], frame: str | None) -> str:
    """Return the anatomical letter nearest to which a vector points, or an empty string."""
    k = int(np.argmax(np.abs(vector)))
    if frame is None or names[k] not in SPACE_AXES:
        return ""
    letter = frame[SPACE_AXES.index(names[k])]
    return letter if vector[k] > 0 else OPPOSITE[letter]


def view_axes(geometry: Geometry) -> ViewAxes:
    """Return the view coordinates of an image."""
    rows, columns, axes = space_indices(geometry)
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
            vector, letter = -vector, OPPOSITE[letter]
        ends = (OPPOSITE[letter], letter) if letter else ("", "")
        found.append((name, vector, ends))
    if len(columns) == len(rows):
        found.sort(key=lambda row: (LETTER_AXES.get(row[2][1], 0), row[0]))
    return ViewAxes(
        names,
        tuple(name for name, _, _ in found),
        base,
        np.stack([vector for _, vector, _ in found], axis=1),
        tuple(ends for _, _, ends in found),
    )


def view_planes(view: ViewAxes) -> tuple[ViewPlane, ...]:
    """Return the planes that are shown."""

    def name(across: int, down: int, through: int) -> str:
        letter = view.letters[through][1]
        return (
            PLANE_NAMES[LETTER_AXES[letter]]
            if letter
            else f"{view.names[across]}{view.names[down]}"
        )

    if len(view.names) == 2:
        return (ViewPlane("".join(view.names), 0, 1, None),)
    return tuple(ViewPlane(name(h, v, n), h, v, n) for h, v, n in ((0, 1, 2), (0, 2, 1), (1, 2, 0)))
