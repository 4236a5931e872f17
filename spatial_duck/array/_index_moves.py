"""Derive which index of the source each index of a result comes from, axis by axis.

To learn where an axis goes, the rule of a function is run on an *index grid*: the grid whose origin
along its n-th world axis is the index along its n-th array axis. The map of integers of what it
gives says, for each voxel of the result, which indices of the source it came from.

A few functions follow no such map: they take indices one by one (`take`, `roll`, `repeat`, …), or
leave the grid as it is and mix what lies along an axis (`cumsum`, `sort`, …). The tables here name
them; the first are run on the indices themselves.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry, World
from spatial_duck.geometry._keys import is_advanced, normalize_key, parse_advanced_key
from spatial_duck.geometry._map import identity, index
from spatial_duck.geometry._numbering import as_tuple
from spatial_duck.geometry._origin_map import index_map_of
from spatial_duck.rules._bind import signature_of
from spatial_duck.rules._rule import is_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spatial_duck.array._coordinates import Moves
    from spatial_duck.geometry._map import IndexMap

__all__ = [
    "JOINING_FUNCTIONS",
    "MIXING_FUNCTIONS",
    "bind_arguments",
    "index_grid",
    "mixed_axes",
    "moves_by_key",
    "moves_from_grid",
    "moves_of_function",
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


def moves_from_grid(grid: Any, shape: Sequence[int], kind: str = "moves") -> Moves:
    """Return where the axes of the index grid of a shape have gone, of what a rule made of it.

    Only where voxels move has an axis that left done so at an index; of new values that are derived
    from several voxels, none is at one.
    """
    if not isinstance(grid, Geometry):
        return {}
    return _moves_from_map(index_map_of(grid, index_grid(tuple(shape))), shape, kind)


def _moves_from_map(grid: IndexMap, shape: Sequence[int], kind: str = "moves") -> Moves:
    """Return where the axes of a source have gone, from a map of integers over it."""
    new, axes, offset, unknown = grid
    unclear = {source for source, _ in unknown}
    along: dict[int, tuple[int, int]] = {}
    for j, (_, steps, uneven) in enumerate(axes):
        unclear.update([part.source for part in uneven if part.source is not None])
        for source, step in steps:
            if source in along:
                unclear.add(source)
            along[source] = (j, step)
    moves: Moves = {}
    for axis, n in enumerate(shape):
        start, between = divmod(offset[axis], 2)
        if axis in unclear or between:
            continue
        if axis not in along:
            if kind == "moves" and 0 <= start < n:
                moves[axis] = (None, start)
            continue
        j, step = along[axis]
        m = new[j]
        if start == 0 and step == 1 and (m is n or m == n):
            moves[axis] = (j, None)
        elif m == m and kind != "derives":
            last = start + step * (m - 1)
            if m and 0 <= start < n and 0 <= last < n:
                stop = last + step
                moves[axis] = (j, slice(start, stop if stop >= 0 else None, step))
            elif kind == "moves" or not m:
                moves[axis] = (j, start + step * np.arange(m))
    return moves


# --- keys ---------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _identity(shape: tuple[int, ...]) -> IndexMap:
    return identity(shape)


def moves_by_key(shape: Sequence[int], key: Any) -> Moves:
    """Return where the axes of an image go by a key that holds no images."""
    shape = tuple(shape)
    moves = _moves_from_map(index(_identity(shape), key), shape)
    keys = key if key.__class__ is tuple else (key,)
    if all([k is None or k is Ellipsis or isinstance(k, slice | int) for k in keys]):
        return moves
    keys = tuple([part for k in keys for part in _expand_mask(normalize_key(k))])
    if not any(map(is_advanced, keys)):
        return moves
    advanced = parse_advanced_key(shape, keys)
    n = len(advanced.shape)
    for a, at in advanced.indices.items():
        # An axis that cannot be followed is marked as lost, so that the map is not used for it.
        moves[a] = None
        if at is None:
            continue
        wide = [d for d, m in enumerate(at.shape) if m != 1]
        if not at.ndim or (not wide and any(m != 1 for m in advanced.shape)):
            moves[a] = (None, int(at.reshape(())))
        elif len(wide) <= 1:
            d = wide[0] if wide else at.ndim - 1
            moves[a] = (advanced.position + n - at.ndim + d, at.reshape(-1))
    return moves


def _expand_mask(key: Any) -> tuple[Any, ...]:
    """Return the index arrays of a mask of several axes, and other keys as they are."""
    is_mask = isinstance(key, np.ndarray) and key.dtype == bool and key.ndim > 1
    return key.nonzero() if is_mask else (key,)


# --- functions that take indices one by one, or mix them ----------------------------------


def _moves_by_index(
    chooser: str, run: Callable[[Any, Any, dict[str, Any], int, int], Any]
) -> Callable[..., Moves]:
    """Return a function for the moves along one axis, from what it does to the indices.

    The argument `chooser` says which are taken; where its values are unknown, so is the result.
    """

    def moves(given: dict[str, Any], shape: Sequence[int]) -> Moves:
        axis = given.get("axis")
        if axis is None and len(shape) != 1:
            return dict.fromkeys(range(len(shape)))
        i = int(axis or 0) % len(shape)
        if not is_known(given[chooser]):
            return {i: None}
        return {i: (i, run(np.arange(shape[i]), given[chooser], given, i, len(shape)))}

    return moves


def _take(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    axis, indices = given.get("axis"), given["indices"]
    if axis is None and len(shape) != 1:
        return dict.fromkeys(range(len(shape)))
    i = int(axis or 0) % len(shape)
    if is_known(indices) and given.get("mode", "raise") != "raise":
        line = np.arange(shape[i])
        indices = np.take(line, indices, mode=given["mode"])
    if not np.ndim(indices):
        return {}
    return moves_by_key(
        shape, (*[slice(None)] * i, np.asarray(indices) if is_known(indices) else indices)
    )


def _insert(line: Any, obj: Any, given: dict[str, Any], i: int, ndim: int) -> Any:
    values = given["values"]
    single = not isinstance(obj, slice | range) and np.size(obj) == 1
    shape = (1,) * (ndim - np.ndim(values)) + tuple(np.shape(values))
    count = shape[0 if np.ndim(obj) == 0 else i] if single else 1
    return np.insert(line, obj, np.full(count, -1) if single else -1)


_compress = _moves_by_index("condition", lambda line, condition, *_: np.compress(condition, line))


def _extract(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    return _compress(given, shape) if len(shape) == 1 else {}


def _roll(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    axis, shift = given.get("axis"), given["shift"]
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
    times = as_tuple(reps)
    extra = max(len(times) - len(shape), 0)
    times = (1,) * (len(shape) - len(times)) + times
    return {a: (a + extra, np.tile(np.arange(n), times[a + extra])) for a, n in enumerate(shape)}


def _resize(given: dict[str, Any], shape: Sequence[int]) -> Moves:
    new = as_tuple(given["new_shape"])
    if new[len(new) - len(shape) + 1 :] != tuple(shape[1:]) or len(new) < len(shape):
        return dict.fromkeys(range(len(shape)))
    lead = len(new) - len(shape)
    if lead and new[lead] != shape[0]:
        return {0: None}
    return {0: (lead, np.resize(np.arange(shape[0]), new[lead]))}


#: Functions that take indices one by one: their moves, from the arguments by name.
_BY_INDEX: dict[Any, Callable[..., Moves]] = {
    np.take: _take,
    np.delete: _moves_by_index("obj", lambda line, obj, *_: np.delete(line, obj)),
    np.insert: _moves_by_index("obj", _insert),
    np.repeat: _moves_by_index("repeats", lambda line, repeats, *_: np.repeat(line, repeats)),
    np.compress: _compress,
    np.extract: _extract,
    np.roll: _roll,
    np.tile: _tile,
    np.resize: _resize,
}


def moves_of_function(function: Any) -> Callable[..., Moves] | None:
    """Return the moves of a function that takes indices one by one, or None."""
    if getattr(function, "__module__", "") == "numpy.fft":  # not loaded before it is used
        return _shift(function) if function in (np.fft.fftshift, np.fft.ifftshift) else None
    return _BY_INDEX.get(function)


#: Functions that keep the grid and mix the values along their `axis`.
MIXING_FUNCTIONS = frozenset(
    getattr(np, name)
    for name in (
        "argpartition argsort cumprod cumsum cumulative_prod cumulative_sum lexsort nancumprod "
        "nancumsum partition sort sort_complex"
    ).split()
    if hasattr(np, name)
)
#: Functions that join images along an axis that they have.
JOINING_FUNCTIONS = frozenset(
    {np.append, np.block, np.column_stack, np.concatenate, np.dstack, np.hstack, np.vstack}
)


def bind_arguments(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of NumPy's parameters."""
    bound = signature_of(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def mixed_axes(given: dict[str, Any], ndim: int) -> Iterable[int]:
    axis = given.get("axis", -1)
    if axis is None:
        return range(ndim)
    return [int(axis) % ndim] if ndim else []
