"""The coordinates of the results of functions of images.

`_index_moves` derives from the rules of `spatial_duck.rules` where the indices of an image go. Here
its coordinates are moved accordingly, and those of several images are merged, joined or stacked.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._config import config
from spatial_duck.array._coordinate_moves import common_attrs, merge_coords, move_coords
from spatial_duck.array._coordinates import Held, Moves, is_equal
from spatial_duck.array._index_moves import (
    JOINING_FUNCTIONS,
    MIXING_FUNCTIONS,
    bind_arguments,
    index_grid,
    mixed_axes,
    moves_by_key,
    moves_from_grid,
    moves_of_function,
)
from spatial_duck.array._vectors import check_mixing
from spatial_duck.backends._arguments import map_leaves
from spatial_duck.rules import _ufuncs as ufuncs
from spatial_duck.rules._rule import unplaced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spatial_duck.rules import Rule

__all__ = [
    "attach",
    "check_written",
    "elementwise",
    "function_coords",
    "index_coords",
    "rule_coords",
    "ufunc_coords",
]

Coords = dict[str, Held] | None


# --- keys ---------------------------------------------------------------------------------


def index_coords(coords: Coords, shape: Sequence[int], key: Any) -> Coords:
    """Return the coordinates of ``image[key]``; the key holds no images."""
    return move_coords(coords, moves_by_key(shape, key))


# --- one function on one or several images ------------------------------------------------


def function_coords(
    function: Any, rule: Rule, args: Sequence[Any], kwargs: dict[str, Any], images: Sequence[Any]
) -> Any:
    """Return the coordinates of each result of a NumPy function, before it is called.

    As of `Rule.geometry`: a dict, a list of these, or a function of the result and the data of the
    images, which stand among the arguments in this order; None where none has coordinates.
    """
    for image in images:
        if image._coords is not None:
            break
    else:
        return None
    check_mixing(getattr(function, "__name__", "function"), images)
    if function is not np.append and (function in JOINING_FUNCTIONS or function is np.stack):
        pieces = args[0] if args else next(iter(kwargs.values()))
        if hasattr(pieces, "_coords"):  # an image in place of a list stands for its planes
            planes = [pieces[i] for i in range(len(pieces))]
            return function_coords(function, rule, (planes, *args[1:]), kwargs, planes)
    if function is np.copyto and len(images) > 1:
        return elementwise(images, images[0].shape)
    special = moves_of_function(function)
    given = (
        bind_arguments(function, args, kwargs) if special or function in MIXING_FUNCTIONS else {}
    )

    main = next((given[n] for n in ("a", "arr", "A", "x") if n in given), None)

    def after(moves: Moves, image: Any) -> Moves:
        shape = image.shape
        if special and main is image:
            moves = moves | special(given, shape)
        elif special and hasattr(main, "_coords"):
            moves = {}
        if function in MIXING_FUNCTIONS:
            for axis in mixed_axes(given, len(shape)):
                moves.pop(axis, None)
        return moves

    if function in JOINING_FUNCTIONS:
        moves = _moves_of_pieces(function, args, kwargs) or _moves_by_rule(
            rule.geometry, args, kwargs, images
        )
        return _join_coords(images, *moves)
    if function is np.stack:
        new = int(bind_arguments(function, args, kwargs)["axis"]) % (images[0].ndim + 1)
        count = len(args[0] if args else kwargs["arrays"])
        around: Moves = {a: (a + (a >= new), None) for a in range(images[0].ndim)}
        found = merge_coords([move_coords(image._coords, around) for image in images])
        return _stack_coords(found, images, new, count)
    return rule_coords(rule.geometry, rule.kind, args, kwargs, images, after=after)


def rule_coords(
    rule: Callable[..., Any],
    kind: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    images: Sequence[Any],
    *,
    after: Callable[[Moves, Any], Moves] | None = None,
) -> Any:
    """Return the coordinates of each result of a rule of some kind, as `function_coords` does.

    `after` corrects the moves of each image.
    """

    def coords_of(k: int, grid: Any) -> Any:
        if isinstance(grid, list | tuple):
            return [coords_of(k, g) for g in grid]
        moves = moves_from_grid(grid, images[k].shape, kind)
        return move_coords(images[k]._coords, after(moves, images[k]) if after else moves)

    grids = _run_on_index_grids(rule, args, kwargs, images)

    def all_of(results: Sequence[Any]) -> Any:
        return _merge_by_result([coords_of(k, g) for k, g in enumerate(results)])

    if any(g.__class__ is FunctionType for g in grids):
        return lambda result, *data: all_of([
            g(result, *data) if g.__class__ is FunctionType else g for g in grids
        ])  # fmt: skip
    return all_of(grids)


def _merge_by_result(found: list[Any]) -> Any:
    """Return the coordinates of each result, merged from those that each image contributes."""
    lists = [f for f in found if isinstance(f, list)]
    if not lists:
        return merge_coords(found)
    many = [f if isinstance(f, list) else [None] * len(lists[0]) for f in found]
    return [_merge_by_result(list(parts)) for parts in zip(*many, strict=True)]


def _run_on_index_grids(
    rule: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    images: Sequence[Any],
    bare: bool = False,
) -> list[Any]:
    """Return the results of a rule for the index grid of each image, the others unplaced."""

    def run(chosen: int) -> Any:
        numbers = count()

        def stand_in(argument: Any) -> Any:
            if not hasattr(argument, "_coords"):
                return argument
            shape = tuple(argument.shape)
            if next(numbers) == chosen:
                return index_grid(shape)
            return _bare(shape) if bare else unplaced(shape)

        on_grids, keywords = map_leaves(stand_in, (tuple(args), kwargs))
        return rule(*on_grids, **keywords)

    with config(on_loss="keep"):
        return [run(chosen) for chosen in range(len(images))]


@lru_cache(maxsize=256)
def _bare(shape: tuple[int, ...]) -> Any:
    """Return an array of a shape, which holds one number."""
    return np.broadcast_to(np.int8(0), shape)


# --- joining ------------------------------------------------------------------------------


def _moves_by_rule(
    rule: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], images: Sequence[Any]
) -> tuple[list[Moves], Sequence[int]]:
    """Return where the axes of each joined image go, and the shape of the result."""
    grids = _run_on_index_grids(rule, args, kwargs, images, bare=True)
    moves = [moves_from_grid(g, image.shape) for g, image in zip(grids, images, strict=True)]
    return moves, grids[0].shape


#: Functions that join along an axis, and the number of dimensions that they give each piece.
_ALONG = {np.hstack: 1, np.vstack: 2, np.dstack: 3, np.column_stack: 2}


def _moves_of_pieces(
    function: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[list[Moves], Sequence[int]] | None:
    """Return what `_moves_by_rule` does, of a list of pieces that are joined as they are.

    The rule is run once for each piece, over all pieces: of many, that takes long.
    """
    pieces = args[0] if args else next(iter(kwargs.values()))
    if function not in (np.concatenate, *_ALONG) or pieces.__class__ not in (list, tuple):
        return None
    shapes = [p.shape if hasattr(p, "shape") else np.shape(p) for p in pieces]
    ndim = len(shapes[0])
    if function is np.concatenate:
        axis = bind_arguments(function, args, kwargs)["axis"]
    else:
        axis = {np.vstack: 0, np.dstack: 2}.get(function, min(ndim - 1, 1))
        if ndim < _ALONG[function]:
            return None
    if axis is None or not ndim or any(len(s) != ndim or np.isnan(s[axis]) for s in shapes):
        return None
    axis = int(axis) % ndim
    total = sum(s[axis] for s in shapes)
    moves: list[Moves] = []
    start = 0
    for piece, shape in zip(pieces, shapes, strict=True):
        if hasattr(piece, "_coords"):
            index = None if shape[axis] == total else np.arange(total) - start
            moves.append({a: (a, index if a == axis else None) for a in range(ndim)})
        start += shape[axis]
    return moves, (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def _join_coords(images: Sequence[Any], moves: Sequence[Moves], shape: Sequence[int]) -> Coords:
    """Return the coordinates of joined images: along the axis, the values are concatenated."""
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
            if all(is_equal(found[0].values, h.values) for h in found):
                out[name] = found[0]._replace(attrs=common_attrs(found))
                continue
            axes = set(turned)
        axis = axes.pop() if len(axes) == 1 else None
        if axis is not None:
            values = _concatenate_pieces(images, each, moves, axis, shape[axis])
            if values is not None:
                out[name] = Held(axis, values, found[0].unit, common_attrs(found))
    return out or None


def _concatenate_pieces(
    images: Sequence[Any],
    each: Sequence[Held | None],
    moves: Sequence[Moves],
    axis: int,
    length: int,
) -> Any:
    """Return the values along the axis of joined pieces; None if one lacks or contradicts them."""
    values: Any = None
    source = np.full(length, -1)  # where the value of each index stands among the values
    for image, h, m in zip(images, each, moves, strict=True):
        lies = next(((a, move[1]) for a, move in m.items() if move and move[0] == axis), None)
        if h is None or lies is None:
            continue
        index = lies[1]
        if index is None or isinstance(index, slice):
            index = np.arange(image.shape[lies[0]])[index or slice(None)]
        here = (index >= 0) & (index < image.shape[lies[0]])
        own = h.values[None] if h.axis is None else h.values
        own = own[np.zeros(here.sum(), int) if h.axis is None else index[here]]
        start = 0 if values is None else len(values)
        values = own if values is None else _concatenate_values([values, own])
        contested = source[here] >= 0
        if values is None or not is_equal(values[source[here][contested]], own[contested]):
            return None
        source[here] = start + np.arange(len(own))
    if values is None or (source < 0).any():
        return None
    values = values[source]
    values.flags.writeable = False
    return values


def _concatenate_values(parts: Sequence[Any]) -> Any:
    """Return values concatenated; None where they have no common type."""
    try:
        values = np.concatenate(parts)
    except (TypeError, ValueError):
        return None
    return values if values.dtype.kind in {p.dtype.kind for p in parts} else None


def _stack_coords(found: Any, images: Sequence[Any], axis: int, count: int) -> Coords:
    """Return the coordinates of stacked images; scalars that differ lie along the new axis."""
    out = dict(found or {})
    for name in {name for image in images for name in image._coords or ()}:
        each = [(image._coords or {}).get(name) for image in images]
        scalars = [h for h in each if h is not None and h.axis is None]
        if len(scalars) < count:  # not all have it
            if name in out and out[name].axis is None:
                del out[name]
        elif name not in out and len({h.unit for h in scalars}) == 1:
            values = _concatenate_values([h.values[None] for h in scalars])
            if values is not None:
                values.flags.writeable = False
                out[name] = Held(axis, values, scalars[0].unit, common_attrs(scalars))
    return out or None


# --- ufuncs -------------------------------------------------------------------------------


def elementwise(images: Sequence[Any], shape: Sequence[int]) -> Coords:
    """Return the coordinates of an elementwise result of images that are broadcast to a shape."""
    for image in images:
        if image._coords is not None:
            break
    else:
        return None
    check_mixing("an elementwise operation", images)
    found = []
    for image in images:
        lead = len(shape) - image.ndim
        moves: Moves = {
            a: (a + lead, None) for a, n in enumerate(image.shape) if n == shape[a + lead]
        }
        found.append(
            image._coords
            if not lead and len(moves) == len(shape)
            else move_coords(image._coords, moves)
        )
    return merge_coords(found)


def check_written(image: Any, key: Any, value: Any) -> None:
    """Check that vectors written into part of an image have the same components.

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
    """Check that vectors are written into images with the same components."""
    for image in out if isinstance(out, tuple | list) else (out,):
        if isinstance(coords, dict) and getattr(image, "_coords", None) is not None:
            merge_coords([coords, image._coords])


def ufunc_coords(
    ufunc: np.ufunc,
    method: str,
    inputs: Sequence[Any],
    kwargs: dict[str, Any],
    images: Sequence[Any],
) -> Any:
    """Return the coordinates of each result of a method of a ufunc, before it is called."""
    for image in images:
        if image._coords is not None:
            break
    else:
        return None
    check_mixing(ufunc.__name__, images)
    rule = ufuncs.METHODS[method] if ufunc.signature is None else ufuncs.GENERALIZED[method]
    kind = "keeps" if ufunc.signature is None and method in ("__call__", "outer") else "derives"

    def after(moves: Moves, image: Any) -> Moves:
        if method == "accumulate":
            axis = inputs[1] if len(inputs) > 1 else kwargs.get("axis", 0)
            moves.pop(int(axis) % image.ndim, None)
        return moves

    return rule_coords(
        lambda *grids, **keywords: rule(ufunc, grids, keywords),
        kind,
        inputs,
        kwargs,
        images,
        after=after,
    )


def attach(result: Any, coords: Any) -> Any:
    """Set the coordinates of the images of a result, which are not shared yet."""
    if isinstance(coords, list):
        for r, c in zip(result, coords, strict=True):
            attach(r, c)
    elif isinstance(result, list | tuple):
        for r in result:
            attach(r, coords)
    elif hasattr(result, "_coords"):
        result._coords = coords
    return result
