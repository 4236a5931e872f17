"""Check the parameters of a geometry.

Each check returns the value in the form that geometries hold, or raises `GeometryError` with the
name of the field, the value and what is wanted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry._world import World, check_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "DEFAULT_DIMS",
    "MAX_CONDITION",
    "SAMPLED_NAMES",
    "check_dims",
    "check_direction",
    "check_lost",
    "check_numbers",
    "check_origin",
    "check_shape",
    "check_spacing",
    "check_world",
    "condition_number",
    "count_world",
    "default_columns",
    "find_sampled",
    "is_whole",
    "refuse_setting",
]

DEFAULT_DIMS = {0: (), 1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
SAMPLED_NAMES = frozenset({"x", "y", "z", "t"})

#: A direction's columns may be this far from unit length (headers hold few digits) ...
_UNIT_TOLERANCE = 1e-3
#: ... and its condition number may be this large before it counts as singular.
MAX_CONDITION = 1e6


def is_whole(value: Any, least: int) -> bool:
    """Whether a parameter is one whole number of `least` or more, 2.0 for 2 included.

    Examples
    --------
    >>> [is_whole(value, 1) for value in (2, 2.0, 2.5, 0, "2", None, True, math.nan)]
    [True, True, False, False, False, False, False, False]
    """
    if isinstance(value, str | bool | np.bool_):
        return False
    try:
        return bool(math.isfinite(value) and value == int(value) and value >= least)
    except (TypeError, ValueError, OverflowError):
        return False


def check_shape(shape: Any) -> tuple[int, ...]:
    """Return the shape as a tuple of ints; NaN stands for a length that is not known yet."""
    try:
        out = tuple([n.__index__() if hasattr(n, "__index__") else n for n in shape])
    except TypeError:
        raise GeometryError(
            f"shape must be a sequence of ints, one for each array axis, got {shape!r}"
        ) from None
    # NaN stands for a length that only computing would tell, as in Dask.
    if any(not (isinstance(n, int) and n >= 0) and n == n for n in out):
        raise GeometryError(f"shape must hold ints of 0 or more, got {shape!r}")
    return out


def check_dims(dims: Any, ndim: int) -> tuple[str | None, ...]:
    """Return the name of each array axis, by default those of `DEFAULT_DIMS`."""
    if dims is None:
        if ndim not in DEFAULT_DIMS:
            example = ("c", "t", "z", "y", "x")[-ndim:] if ndim <= 5 else ("a", "b", "…")
            raise GeometryError(
                f"dims must be given for {ndim} dimensions, one name for each array axis: for "
                f"example dims={example!r}, where x, y, z and t are sampled and others plain"
            )
        return DEFAULT_DIMS[ndim]
    names = tuple(dims)
    if len(names) != ndim:
        raise GeometryError(f"dims must hold {ndim} names, one for each array axis, got {names!r}")
    if any(not (n is None or (isinstance(n, str) and n)) for n in names):
        raise GeometryError(f"dims must hold names or None, got {names!r}")
    given = [n for n in names if n is not None]
    if len(set(given)) != len(given):
        raise GeometryError(f"dims must be unique, got {names!r}")
    return names


def find_sampled(
    names: tuple[str | None, ...], sampled: Sequence[str | int] | None, lost: Mapping[int, str]
) -> tuple[int, ...]:
    """Return the array axes that are sampled, by their names and by what the caller names."""
    known = {*range(len(names)), *names} - {None}
    # As of dims, the letters of a text are names, unless it is one itself.
    extra = (sampled,) if isinstance(sampled, str) and sampled in known else tuple(sampled or ())
    unknown = [name for name in extra if name not in known]
    if unknown:
        raise GeometryError(
            f"sampled must hold names among dims {names!r}, or array axes, got {unknown!r}"
        )
    return tuple(
        [
            i
            for i, name in enumerate(names)
            if i not in lost and (name in SAMPLED_NAMES or name in extra or i in extra)
        ]
    )


def check_lost(lost: Any, ndim: int) -> tuple[dict[int, str], dict[str, str]]:
    """Return array axes whose positions are lost, and world axes, with the functions."""
    given = dict(lost or {})
    axes = {i: f for i, f in given.items() if not isinstance(i, str)}
    if any(not isinstance(i, int) or not 0 <= i < ndim for i in axes):
        raise GeometryError(
            f"lost must map array axes from 0 to {ndim - 1}, or names of world axes, to the "
            f"function that lost them, got {lost!r}"
        )
    return axes, {name: f for name, f in given.items() if isinstance(name, str)}


def check_numbers(field: str, value: Any, ndim: int) -> Floats:
    """Return finite real numbers as an array of `ndim` dimensions."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise GeometryError(f"{field} must hold real numbers, got {value!r}") from None
    if array.ndim != ndim:
        wanted = ("one number", "a sequence of numbers", "a matrix")[ndim]
        raise GeometryError(f"{field} must be {wanted}, got {value!r}")
    if not np.isfinite(array).all():
        raise GeometryError(f"{field} must be finite, got {value!r}")
    return array


def count_world(origin: Any, direction: Floats | None) -> int | None:
    """Return how many world axes an origin or direction speaks of, or None."""
    if direction is not None:
        return int(direction.shape[0])
    return len(origin) if hasattr(origin, "__len__") else None


def check_world(
    world: Any, frame: str | None, unit: Any, sampled: list[str | None], n_world: int | None
) -> World:
    """Return the world of a geometry, by default of its sampled axes."""
    if world is None:
        axes = tuple([name for name in sampled if name is not None])
        if n_world is not None and n_world > len(axes):
            # A slice that lives in more dimensions than it has axes, among the usual ones.
            usual = ("t", "z", "y", "x") if "t" in axes or n_world == 4 else ("z", "y", "x")
            if n_world != len(usual) or not set(axes) <= set(usual):
                raise GeometryError(
                    f"world: origin or direction has {n_world} rows for the sampled axes "
                    f"{axes!r}; name the world axes, for example world=('z', 'y', 'x')"
                )
            axes = usual
        return World(axes, unit, frame)
    if not isinstance(world, World):
        return World(world, unit, frame)
    if frame is not None and check_frame(frame) != world.frame:
        raise GeometryError(f"frame: {frame!r} contradicts the world's {world.frame!r}; give one")
    if unit is not None and World(world.axes, unit).units != world.units:
        raise GeometryError(f"unit: {unit!r} contradicts the world's {world.units!r}; give one")
    return world


def check_spacing(spacing: Any, names: Sequence[str | None]) -> list[float]:
    """Return a positive number for each sampled axis."""
    if spacing is None:
        return [1.0] * len(names)
    if not hasattr(spacing, "__len__"):
        spacing = [spacing] * len(names) if np.ndim(spacing) == 0 else list(spacing)
    values = check_numbers("spacing", spacing, 1)
    if len(values) != len(names):
        raise GeometryError(
            f"spacing must hold {len(names)} numbers, one for each sampled axis "
            f"{tuple(names)!r} in array-axis order, got {spacing!r}"
        )
    if not (values > 0).all():
        raise GeometryError(
            f"spacing must be positive, got {spacing!r}; an axis that runs backwards has a "
            "negative column in direction"
        )
    return [float(v) for v in values]


def default_columns(names: Sequence[str | None], axes: Sequence[str]) -> list[tuple[float, ...]]:
    """Return the direction in which each axis runs along the world axis of its name."""
    return [tuple([1.0 if a == name else 0.0 for a in axes]) for name in names]


def check_direction(
    direction: Floats | None, names: Sequence[str | None], world: World
) -> list[tuple[float, ...]]:
    """Return the independent unit columns of a direction."""
    axes = world.axes
    if direction is None:
        missing = [name for name in names if name not in axes]
        if missing:
            raise GeometryError(
                f"direction must be given: the sampled axes {missing!r} have no world axis of "
                f"their name among {axes!r}"
            )
        return default_columns(names, axes)
    if direction.shape != (len(axes), len(names)):
        raise GeometryError(
            f"direction must have shape {(len(axes), len(names))}: a row for each world axis "
            f"{axes!r} and a column for each sampled axis {tuple(names)!r}, got shape "
            f"{direction.shape}"
        )
    norms = np.sqrt((direction**2).sum(axis=0))
    if (abs(norms - 1) > _UNIT_TOLERANCE).any():
        raise GeometryError(
            f"direction must have unit columns, got lengths {norms.tolist()} in "
            f"{direction.tolist()}; use Geometry.from_affine for a matrix that holds the spacing"
        )
    # An unnamed axis may run along another, as a window does along the axis that it slides on.
    if condition_number(direction[:, [name is not None for name in names]]) > MAX_CONDITION:
        raise GeometryError(
            f"direction is singular: its columns must be independent, got {direction.tolist()}"
        )
    space = np.array([kind == "space" for kind in world.types], dtype=bool)
    for name, column in zip(names, direction.T, strict=True):
        mixed = column[~space].any() and (column[space].any() or (column[~space] != 0).sum() > 1)
        if mixed:
            raise GeometryError(
                f"direction: the axis {name!r} mixes space with {axes!r}; a column must lie "
                f"either in space or along one other world axis, got {column.tolist()}"
            )
    return [tuple(column) for column in (direction + 0.0).T.tolist()]


def condition_number(direction: Floats) -> float:
    """Return the condition number of a direction; infinite where columns are dependent."""
    if direction.shape[1] == 0:
        return 1.0
    if direction.shape[1] > direction.shape[0]:
        return float("inf")
    values = np.linalg.svd(direction, compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")


def check_origin(origin: Any, world: World) -> tuple[float, ...]:
    """Return a number for each world axis."""
    if origin is None:
        return (0.0,) * len(world.axes)
    values = check_numbers("origin", origin, 1)
    if len(values) != len(world.axes):
        raise GeometryError(
            f"origin must hold {len(world.axes)} numbers, one for each world axis "
            f"{world.axes!r}, got {origin!r}"
        )
    return tuple(values.tolist())


def refuse_setting(cls: type, names: Iterable[str]) -> None:
    """Make properties raise when they are set, with the advice to use ``replace`` of the class."""
    for name in names:
        found = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
        # Still a plain property: reading it is as fast as before.
        setattr(cls, name, found.setter(_refusal(cls.__name__, name)))


def _refusal(owner: str, name: str) -> Any:
    def refuse(_: Any, __: Any) -> None:
        raise AttributeError(
            f"the {name} of a {owner} cannot be set, as others may share it: make another with "
            f"replace({name}=...)"
        )

    return refuse
