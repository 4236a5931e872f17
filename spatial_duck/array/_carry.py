"""Where each function takes the coordinates of its images.

There is one set of rules, that of `spatial_duck.rules`. To learn where an axis goes, the rule of a
function is run on an *index grid*: the grid whose place along its n-th world axis is the index
along its n-th array axis. Where the result lies in that world says, for each of its voxels, which
indices of the source it came from.

A few functions follow no such map: they take indices one by one (`take`, `roll`, `repeat`, …), or
leave the grid as it is and mix what lies along an axis (`cumsum`, `sort`, …). The tables here name
them; the first are run on the indices themselves.
"""

from __future__ import annotations

from functools import cache, lru_cache
from inspect import signature
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._config import config
from spatial_duck.array._coordinates import Held, Moves, common_attrs, equal, merged, moved
from spatial_duck.array._vectors import check_mixing
from spatial_duck.geometry import Geometry, World
from spatial_duck.rules import _ufuncs as ufuncs
from spatial_duck.rules._rule import unplaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spatial_duck.rules import Rule

__all__ = [
    "any_coords",
    "attach",
    "by_function",
    "by_key",
    "by_rule",
    "by_ufunc",
    "check_written",
    "elementwise",
]

Coords = dict[str, Held] | None


def any_coords(images: Iterable[Any]) -> bool:
    """Whether one of some images has coordinates."""
    return any([image._coords is not None for image in images])


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


def by_key(coords: Coords, shape: Sequence[int], key: Any) -> Coords:
    """Return the coordinates of ``image[key]``; the key holds no images."""
    keys = key if key.__class__ is tuple else (key,)
    with config(on_loss="keep"):
        moves = moves_on(index_grid(tuple(shape))[key], shape)
    arrays = [k for k in keys if not _is_basic(k)]
    return moved(coords, moves | _by_arrays(shape, keys) if arrays else moves)


def _is_basic(key: Any) -> bool:
    return key is None or key is Ellipsis or isinstance(key, slice)


def _consumed(key: Any) -> int:
    """Return how many axes a part of a key uses up."""
    if key is None or key is Ellipsis:
        return 0
    return int(key.ndim) if _is_mask(key) else 1


def _is_mask(key: Any) -> bool:
    return isinstance(key, bool) or "bool" in str(getattr(key, "dtype", ""))


def _by_arrays(shape: Sequence[int], keys: Sequence[Any]) -> Moves:
    """Return where the axes go that index arrays, masks and the integers beside them take."""
    parts = [np.asarray(k) if isinstance(k, list | tuple | range | bool) else k for k in keys]
    if not any(getattr(k, "ndim", 0) or _is_mask(k) for k in parts):
        return {}  # integers alone: the grid knows
    whole = [slice(None)] * (len(shape) - sum(map(_consumed, parts)))
    dots = next((n for n, k in enumerate(parts) if k is Ellipsis), len(parts))
    parts = [*parts[:dots], *whole, *parts[dots + 1 :]]
    places = [n for n, k in enumerate(parts) if not _is_basic(k)]
    adjoining = places[-1] - places[0] == len(places) - 1
    place = places[0] if adjoining else 0

    taken: dict[int, Any] = {}
    axis = 0
    for part in parts:
        if not _is_basic(part):
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
    return _by_arrays(
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
_BY_INDEX: dict[Any, Callable[..., Moves]] = {
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
_MIXING = frozenset(
    getattr(np, name)
    for name in (
        "argpartition argsort cumprod cumsum cumulative_prod cumulative_sum lexsort nancumprod "
        "nancumsum partition sort sort_complex"
    ).split()
    if hasattr(np, name)
)
#: Functions that join images along an axis that they have.
_JOINING = frozenset(
    {np.append, np.block, np.column_stack, np.concatenate, np.dstack, np.hstack, np.vstack}
)


@cache
def _signature(function: Any) -> Any:
    return signature(function)


def _by_name(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of NumPy's parameters."""
    bound = _signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _mixed_axes(given: dict[str, Any], ndim: int) -> Iterable[int]:
    axis = given.get(_AXIS, -1)
    if axis is None:
        return range(ndim)
    return [int(axis) % ndim] if ndim else []


# --- one function on one or several images ------------------------------------------------


def by_function(
    function: Any, rule: Rule, args: Sequence[Any], kwargs: dict[str, Any], images: Sequence[Any]
) -> Any:
    """Return the coordinates of each result of a NumPy function, before it is called.

    Parameters
    ----------
    function, rule
        The function and what it does to geometry.
    args, kwargs
        Its arguments, images among them.
    images : sequence of SpatialArray
        The images in the order in which they stand there.

    Returns
    -------
    dict, None, a list of these, or a function
        As of `Rule.geometry`; the function takes the result and the data of the images.
    """
    check_mixing(getattr(function, "__name__", "function"), images)
    if function is not np.append and (function in _JOINING or function is np.stack):
        pieces = args[0] if args else next(iter(kwargs.values()))
        if hasattr(pieces, "_coords"):  # an image in place of a list stands for its planes
            planes = [pieces[i] for i in range(len(pieces))]
            return by_function(function, rule, (planes, *args[1:]), kwargs, planes)
    if function is np.copyto and len(images) > 1:
        return elementwise(images, images[0].shape)
    special = _BY_INDEX.get(function)
    given = _by_name(function, args, kwargs) if special or function in _MIXING else {}

    main = next((given[n] for n in ("a", "arr", "A", "x") if n in given), None)

    def after(moves: Moves, image: Any) -> Moves:
        shape = image.shape
        if special and main is image:
            moves = moves | special(given, shape)
        elif special and hasattr(main, "_coords"):
            moves = {}
        if function in _MIXING:
            for axis in _mixed_axes(given, len(shape)):
                moves.pop(axis, None)
        return moves

    if function in _JOINING:
        return _joined(images, _on_index_grids(rule.geometry, args, kwargs, images, bare=True))
    found = by_rule(rule.geometry, rule.kind, args, kwargs, images, after=after)
    if function is np.stack:
        axis = _by_name(function, args, kwargs)[_AXIS]
        ndim = images[0].ndim + 1
        count = len(args[0] if args else kwargs["arrays"])
        return _stacked(found, images, int(axis) % ndim, count)
    return found


def by_rule(
    rule: Callable[..., Any],
    kind: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    images: Sequence[Any],
    *,
    after: Callable[[Moves, Any], Moves] | None = None,
) -> Any:
    """Return the coordinates of each result of a rule.

    Parameters
    ----------
    rule, kind
        What the function does to geometry.
    args, kwargs, images
        As of `by_function`.
    after : callable, optional
        Corrects the moves of each image.
    """

    def coords_of(k: int, grid: Any) -> Any:
        if isinstance(grid, list | tuple):
            return [coords_of(k, g) for g in grid]
        moves = moves_on(grid, images[k].shape, kind)
        return moved(images[k]._coords, after(moves, images[k]) if after else moves)

    grids = _on_index_grids(rule, args, kwargs, images)

    def all_of(results: Sequence[Any]) -> Any:
        return _by_result([coords_of(k, g) for k, g in enumerate(results)])

    if any(g.__class__ is FunctionType for g in grids):
        return lambda result, *data: all_of([
            g(result, *data) if g.__class__ is FunctionType else g for g in grids
        ])  # fmt: skip
    return all_of(grids)


def _by_result(found: list[Any]) -> Any:
    """Turn what each image brings to each result into the coordinates of each result."""
    lists = [f for f in found if isinstance(f, list)]
    if not lists:
        return merged(found)
    many = [f if isinstance(f, list) else [None] * len(lists[0]) for f in found]
    return [_by_result(list(parts)) for parts in zip(*many, strict=True)]


def _on_index_grids(
    rule: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    images: Sequence[Any],
    bare: bool = False,
) -> list[Any]:
    """Return what a rule makes of the index grid of each image, the others having no place."""
    grids = []
    with config(on_loss="keep"):
        for k in range(len(images)):
            stand_ins = _StandIns(k, bare)
            on_grids = [stand_ins.of(a) for a in args]
            by_name = {name: stand_ins.of(a) for name, a in kwargs.items()}
            grids.append(rule(*on_grids, **by_name))
    return grids


class _StandIns:
    """Puts the index grid of one image, and placeless shapes of the others, among arguments."""

    def __init__(self, chosen: int, bare: bool) -> None:
        self.left, self.bare = chosen, bare

    def of(self, argument: Any) -> Any:
        if argument.__class__ in (list, tuple):
            return type(argument)([self.of(a) for a in argument])
        if not hasattr(argument, "_coords"):
            return argument
        self.left -= 1
        shape = argument.shape
        if self.left == -1:
            return index_grid(tuple(shape))
        return np.broadcast_to(np.int8(0), shape) if self.bare else unplaced(shape)


# --- joining ------------------------------------------------------------------------------


def _joined(images: Sequence[Any], grids: Sequence[Any]) -> Coords:
    """Return what joining makes: along the axis, the values of all pieces, one after the other."""
    moves = [moves_on(g, image.shape) for g, image in zip(grids, images, strict=True)]
    turned = {j for m in moves for j, index in filter(None, m.values()) if index is not None}
    out: dict[str, Held] = {}
    for name in dict.fromkeys(name for image in images for name in image._coords or ()):
        each = [(image._coords or {}).get(name) for image in images]
        found = [h for h in each if h is not None]
        axes = {(m.get(h.axis) or (None,))[0] for h, m in zip(each, moves, strict=True)
                if h is not None and h.axis is not None}  # fmt: skip
        if len({h.unit for h in found}) > 1 or len(axes) > 1 or None in axes:
            continue
        if not axes:
            if len(found) < len(each):
                continue
            if all(equal(found[0].values, h.values) for h in found):
                out[name] = found[0]._replace(attrs=common_attrs(found))
                continue
            axes = set(turned)
        axis = axes.pop() if len(axes) == 1 else None
        if axis is not None:
            values = _side_by_side(images, each, moves, axis, grids[0].shape[axis])
            if values is not None:
                out[name] = Held(axis, values, found[0].unit, common_attrs(found))
    return out or None


def _side_by_side(
    images: Sequence[Any],
    each: Sequence[Held | None],
    moves: Sequence[Moves],
    axis: int,
    length: int,
) -> Any:
    """Return the values along an axis of what was joined; None if pieces contest or lack one."""
    values: Any = None
    source = np.full(length, -1)  # where the value of each index stands among the values
    for image, h, m in zip(images, each, moves, strict=True):
        lies = next(((a, move[1]) for a, move in m.items() if move and move[0] == axis), None)
        if h is None or lies is None:
            continue
        index = np.arange(length) if lies[1] is None else lies[1]
        here = (index >= 0) & (index < image.shape[lies[0]])
        own = h.values[None] if h.axis is None else h.values
        own = own[np.zeros(here.sum(), int) if h.axis is None else index[here]]
        start = 0 if values is None else len(values)
        values = own if values is None else _values_together([values, own])
        contested = source[here] >= 0
        if values is None or not equal(values[source[here][contested]], own[contested]):
            return None
        source[here] = start + np.arange(len(own))
    if values is None or (source < 0).any():
        return None
    values = values[source]
    values.flags.writeable = False
    return values


def _values_together(parts: Sequence[Any]) -> Any:
    """Return values one after the other; None where they have no common type."""
    try:
        values = np.concatenate(parts)
    except (TypeError, ValueError):
        return None
    return values if values.dtype.kind in {p.dtype.kind for p in parts} else None


def _stacked(found: Any, images: Sequence[Any], axis: int, count: int) -> Coords:
    """Return what `stack` makes: values of whole images that differ lie along the new axis."""
    out = dict(found or {})
    for name in {name for image in images for name in image._coords or ()}:
        each = [(image._coords or {}).get(name) for image in images]
        scalars = [h for h in each if h is not None and h.axis is None]
        if len(scalars) < count:  # not all have it
            if name in out and out[name].axis is None:
                del out[name]
        elif name not in out and len({h.unit for h in scalars}) == 1:
            values = _values_together([h.values[None] for h in scalars])
            if values is not None:
                values.flags.writeable = False
                out[name] = Held(axis, values, scalars[0].unit, common_attrs(scalars))
    return out or None


# --- ufuncs -------------------------------------------------------------------------------


def elementwise(images: Sequence[Any], shape: Sequence[int]) -> Coords:
    """Return the coordinates of an elementwise result of images that are broadcast to a shape."""
    check_mixing("an elementwise operation", images)
    found = []
    for image in images:
        lead = len(shape) - image.ndim
        moves: Moves = {
            a: (a + lead, None) for a, n in enumerate(image.shape) if n == shape[a + lead]
        }
        found.append(
            image._coords if not lead and len(moves) == len(shape) else moved(image._coords, moves)
        )
    return merged(found)


def check_written(image: Any, key: Any, value: Any) -> None:
    """Check that vectors that are written into a part of an image are such as are there.

    Raises
    ------
    GeometryMismatchError
        If their components, frames or units differ.
    """
    if image._coords is None or value._coords is None:
        return
    target = image if key == () else image[key]
    if hasattr(target, "_coords"):
        elementwise((target, value), target.shape)


def check_out(coords: Any, out: Any) -> None:
    """Check that vectors are written into images of such vectors."""
    for image in out if isinstance(out, tuple | list) else (out,):
        if isinstance(coords, dict) and getattr(image, "_coords", None) is not None:
            merged([coords, image._coords])


def by_ufunc(
    ufunc: np.ufunc,
    method: str,
    inputs: Sequence[Any],
    kwargs: dict[str, Any],
    images: Sequence[Any],
) -> Any:
    """Return the coordinates of each result of a method of a ufunc, before it is called."""
    check_mixing(ufunc.__name__, images)
    rule = ufuncs.METHODS[method] if ufunc.signature is None else ufuncs.GENERALIZED[method]
    kind = "keeps" if ufunc.signature is None and method in ("__call__", "outer") else "derives"

    def after(moves: Moves, image: Any) -> Moves:
        if method == "accumulate":
            axis = inputs[1] if len(inputs) > 1 else kwargs.get("axis", 0)
            moves.pop(int(axis) % image.ndim, None)
        return moves

    return by_rule(
        lambda *grids, **by_name: rule(ufunc, grids, by_name),
        kind,
        inputs,
        kwargs,
        images,
        after=after,
    )


def attach(result: Any, coords: Any) -> Any:
    """Put coordinates on the images of a result, which nobody else holds yet."""
    if isinstance(coords, list):
        for r, c in zip(result, coords, strict=True):
            attach(r, c)
    elif isinstance(result, list | tuple):
        for r in result:
            attach(r, coords)
    elif hasattr(result, "_coords"):
        result._coords = coords
    return result
