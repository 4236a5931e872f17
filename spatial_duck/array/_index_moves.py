"""Which indices of its source each index of a result came from, axis by axis.

To learn where an axis goes, the rule of a function is run on an *index grid*: the grid whose place
along its n-th world axis is the index along its n-th array axis. Where the result lies in that
world says, for each of its voxels, which indices of the source it came from.

A few functions follow no such map: they take indices one by one (`take`, `roll`, `repeat`, …), or
leave the grid as it is and mix what lies along an axis (`cumsum`, `sort`, …). The tables here name
them; the first are run on the indices themselves.
"""

from __future__ import annotations

from functools import cache, lru_cache
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spatial_duck.array._coordinates import Moves

__all__ = [
    "BY_INDEX",
    "JOINING",
    "MIXING",
    "by_name",
    "index_grid",
    "is_basic",
    "mixed_axes",
    "moves_by_arrays",
    "moves_on",
]


# --- index grids --------------------------------------------------------------------------


@cache
def _index_world(ndim: int) -> World:
    return World([f"index {i}" for i in range(ndim)])


@lru_cache(maxsize=512)
def index_grid(shape: tuple[int, ...]) -> Geometry:
    """Return the grid on which each voxel lies at its own index.

    Examples
    --------
    >>> index_grid((3, 4))[2, ::-1].origin
    array([2., 3.])
    """
    n = len(shape)
    return Geometry(
        shape, 1.0, np.zeros(n), np.eye(n), (None,) * n,
        sampled=range(n), world=_index_world(n),
    )  # fmt: skip


def moves_on(grid: Any, shape: Sequence[int], kind: str = "moves") -> Moves:
    """Read where the axes of an index grid have gone.

    Parameters
    ----------
    grid : Geometry
        What a rule made of ``index_grid(shape)``.
    shape : sequence of int
        Of the source.
    kind : str
        Of the rule. Only where voxels move has an axis that left done so at an index; of new
        values that are derived from several voxels, none is at one.
    """
    if not isinstance(grid, Geometry):
        return {}
    moves: Moves = {}
    spacing, directions, origin = (
        grid.spacing.tolist(), grid.direction.tolist(), grid.origin.tolist(),
    )  # fmt: skip
    sampled = grid.sampled_axes
    rows = {name: r for r, name in enumerate(grid.world.axes)}
    for axis in range(len(shape)):
        row = rows.get(f"index {axis}")
        if row is None:
            continue
        start = origin[row]
        steps = [d * s for d, s in zip(directions[row], spacing, strict=True)]
        along = [(j, s) for j, s in zip(sampled, steps, strict=True) if s]
        if len(along) > 1 or not start.is_integer():
            continue
        if not along:
            if kind == "moves" and 0 <= start < shape[axis]:
                moves[axis] = (None, int(start))
            continue
        j, step = along[0]
        n = grid.shape[j]
        if (start, step, n) == (0.0, 1.0, shape[axis]):
            moves[axis] = (j, None)
        elif n == n and step.is_integer() and kind != "derives":
            index = int(start) + int(step) * np.arange(n)
            if kind == "moves" or ((index >= 0) & (index < shape[axis])).all():
                moves[axis] = (j, index)
    return moves


# --- keys ---------------------------------------------------------------------------------


def is_basic(key: Any) -> bool:
    return key is None or key is Ellipsis or isinstance(key, slice)


def _consumed(key: Any) -> int:
    """Return how many axes a part of a key uses up."""
    if key is None or key is Ellipsis:
        return 0
    return int(key.ndim) if _is_mask(key) else 1


def _is_mask(key: Any) -> bool:
    return isinstance(key, bool) or "bool" in str(getattr(key, "dtype", ""))


def moves_by_arrays(shape: Sequence[int], keys: Sequence[Any]) -> Moves:
    """Return where the axes go that index arrays, masks and the integers beside them take."""
    parts = [np.asarray(k) if isinstance(k, list | tuple | range | bool) else k for k in keys]
    if not any(getattr(k, "ndim", 0) or _is_mask(k) for k in parts):
        return {}  # integers alone: the grid knows
    whole = [slice(None)] * (len(shape) - sum(map(_consumed, parts)))
    dots = next((n for n, k in enumerate(parts) if k is Ellipsis), len(parts))
    parts = [*parts[:dots], *whole, *parts[dots + 1 :]]
    places = [n for n, k in enumerate(parts) if not is_basic(k)]
    adjoining = places[-1] - places[0] == len(places) - 1
    place = places[0] if adjoining else 0

    taken: dict[int, Any] = {}
    axis = 0
    for part in parts:
        if not is_basic(part):
            taken.update(zip(range(axis, axis + _consumed(part)), _indices(part), strict=True))
        axis += 1 if isinstance(part, slice) else _consumed(part)
    shapes = [index.shape for index in taken.values() if index is not None]
    block = np.broadcast_shapes(*shapes, *[(1,) for k in parts if _is_mask(k)])
    moves: Moves = {}
    for a, index in taken.items():
        if index is None:
            continue
        index = np.where(index < 0, index + shape[a], index)
        wide = [d for d, n in enumerate(index.shape) if n != 1]
        if not index.ndim or (not wide and any(n != 1 for n in block)):
            moves[a] = (None, int(index.reshape(())))
        elif len(wide) <= 1:
            d = wide[0] if wide else index.ndim - 1
            moves[a] = (place + len(block) - index.ndim + d, index.reshape(-1))
    # What cannot be said is said to be lost: it must not fall back on the grid.
    return {a: moves.get(a) for a in taken}


def _indices(part: Any) -> tuple[Any, ...]:
    """Return the index along each axis that a part of a key takes; None where it is unknown."""
    if not isinstance(part, int | np.integer | np.ndarray):
        return (None,) * _consumed(part)  # looking at it would compute it
    array = np.asarray(part)
    return array.nonzero() if array.dtype == bool and array.ndim else (array,) * _consumed(array)


# --- functions that take indices one by one, or mix them ----------------------------------

_AXIS = "axis"


def _each_axis(run: Callable[[Any, Any, int, int], Any]) -> Callable[..., Moves]:
    """Make the moves of a function of one axis from what it does to the indices along it."""

    def moves(given: dict[str, Any], shape: Sequence[int]) -> Moves:
        axis = given.get(_AXIS)
        if axis is None and len(shape) != 1:
            return dict.fromkeys(range(len(shape)))
        i = int(axis or 0) % len(shape)
        index = run(np.arange(shape[i]), given, i, len(shape))
        whole = _known(index) and np.ndim(index) == 1
        return {i: (i, index)} if whole else {i: None} if np.ndim(index) else {}

    return moves


def _known(value: Any) -> bool:
    return isinstance(value, int | slice | list | tuple | range | np.integer | np.ndarray)


def _take(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    axis, indices = given.get(_AXIS), given["indices"]
    if axis is None and len(shape) != 1:
        return dict.fromkeys(range(len(shape)))
    i = int(axis or 0) % len(shape)
    if _known(indices) and given.get("mode", "raise") != "raise":
        line = np.arange(shape[i])
        indices = np.take(line, indices, mode=given["mode"])
    if not np.ndim(indices):
        return {}
    return moves_by_arrays(
        shape, (*[slice(None)] * i, np.asarray(indices) if _known(indices) else indices)
    )


def _delete(line: Any, given: dict[str, Any], *_: int) -> Any:
    return np.delete(line, given["obj"]) if _known(given["obj"]) else np.empty((0, 0))


def _insert(line: Any, given: dict[str, Any], i: int, ndim: int) -> Any:
    obj, values = given["obj"], given["values"]
    if not _known(obj):
        return np.empty((0, 0))
    single = not isinstance(obj, slice | range) and np.size(obj) == 1
    shape = (1,) * (ndim - np.ndim(values)) + tuple(np.shape(values))
    count = shape[0 if np.ndim(obj) == 0 else i] if single else 1
    return np.insert(line, obj, np.full(count, -1) if single else -1)


def _repeat(line: Any, given: dict[str, Any], *_: int) -> Any:
    return np.repeat(line, given["repeats"]) if _known(given["repeats"]) else np.empty((0, 0))


def _compress(line: Any, given: dict[str, Any], *_: int) -> Any:
    condition = given["condition"]
    return np.compress(condition, line) if _known(condition) else np.empty((0, 0))


def _extract(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    return _each_axis(_compress)(given, shape) if len(shape) == 1 else {}


def _roll(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    axis, shift = given.get(_AXIS), given["shift"]
    if axis is None and len(shape) != 1:
        return dict.fromkeys(range(len(shape)))
    moves: dict[int, Any] = {}
    for a, s in np.broadcast(0 if axis is None else axis, shift):
        a %= len(shape)
        moves[a] = (a, np.roll(moves[a][1] if a in moves else np.arange(shape[a]), s))
    return moves


def _shift(shift: Callable[[Any], Any]) -> Callable[..., Moves]:
    def moves(given: dict[str, Any], shape: Sequence[int]) -> Moves:
        axes = given.get("axes")
        chosen = range(len(shape)) if axes is None else np.atleast_1d(axes) % len(shape)
        return {int(a): (int(a), shift(np.arange(shape[a]))) for a in chosen}

    return moves


def _tile(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    reps = given["reps"]
    times = tuple(reps) if hasattr(reps, "__len__") else (reps,)
    extra = max(len(times) - len(shape), 0)
    times = (1,) * (len(shape) - len(times)) + times
    return {a: (a + extra, np.tile(np.arange(n), times[a + extra])) for a, n in enumerate(shape)}


def _resize(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    new = given["new_shape"]
    new = tuple(new) if hasattr(new, "__len__") else (new,)
    if new[len(new) - len(shape) + 1 :] != tuple(shape[1:]) or len(new) < len(shape):
        return dict.fromkeys(range(len(shape)))
    lead = len(new) - len(shape)
    if lead and new[lead] != shape[0]:
        return {0: None}
    return {0: (lead, np.resize(np.arange(shape[0]), new[lead]))}


#: Functions that take indices one by one: their moves, from the arguments by name.
BY_INDEX: dict[Any, Callable[..., Moves]] = {
    np.take: _take,
    np.delete: _each_axis(_delete),
    np.insert: _each_axis(_insert),
    np.repeat: _each_axis(_repeat),
    np.compress: _each_axis(_compress),
    np.extract: _extract,
    np.roll: _roll,
    np.tile: _tile,
    np.resize: _resize,
    np.fft.fftshift: _shift(np.fft.fftshift),
    np.fft.ifftshift: _shift(np.fft.ifftshift),
}
#: Functions that leave the grid and mix what lies along an axis, by their parameter `axis`.
MIXING = frozenset(
    getattr(np, name)
    for name in (
        "argpartition argsort cumprod cumsum cumulative_prod cumulative_sum lexsort nancumprod "
        "nancumsum partition sort sort_complex"
    ).split()
    if hasattr(np, name)
)
#: Functions that join images along an axis that they have.
JOINING = frozenset(
    {np.append, np.block, np.column_stack, np.concatenate, np.dstack, np.hstack, np.vstack}
)


@cache
def _signature(function: Any) -> Any:
    return signature(function)


def by_name(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of NumPy's parameters."""
    bound = _signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def mixed_axes(given: dict[str, Any], ndim: int) -> Iterable[int]:
    axis = given.get(_AXIS, -1)
    if axis is None:
        return range(ndim)
    return [int(axis) % ndim] if ndim else []
