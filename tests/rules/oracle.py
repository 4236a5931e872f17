"""Chains of NumPy's functions on images, and where each voxel of the result truly lies.

The place of every voxel is carried along as plain arrays, one for each world axis, without the
code under test: an operation that moves voxels is applied to the places as well; one that keeps
the grid leaves them; a reduction gives the middle of the extent; what has no place (padding,
frequencies, sorted copies) is NaN. What an image then claims must be true. It may claim less where
an operation says that it loses positions, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Shape = tuple[int, ...]
    Function = Callable[[Any], Any]

__all__ = ["OPERATIONS", "Step", "check", "draw", "places_of"]


class Step(NamedTuple):
    """One operation of a chain.

    Attributes
    ----------
    name : str
        Its name in `OPERATIONS`.
    of_data : callable
        What is done to the image, and to the bare array.
    of_places : callable
        What that makes of an array of places.
    is_exact : bool
        Whether no position may be lost.
    """

    name: str
    of_data: Function
    of_places: Function
    is_exact: bool = True


Maker = "Callable[[np.random.Generator, Shape], tuple[Any, ...] | None]"


def _axis(rng: np.random.Generator, shape: Shape) -> int:
    return int(rng.integers(-len(shape), len(shape)))


def _same(places: Any) -> Any:
    return places


def _slice(rng: np.random.Generator, n: int) -> slice:
    step = int(rng.choice([1, 1, 2, 3, -1, -2]))
    ends = sorted(int(i) for i in rng.integers(0, n + 1, 2))
    if rng.random() < 0.4:
        return slice(None, None, step)
    return slice(*ends, step) if step > 0 else slice(ends[1], ends[0] or None, step)


# --- moves: the places move with the data -------------------------------------------------


def _index(rng: np.random.Generator, shape: Shape) -> Any:
    key: list[Any] = []
    for n in shape:
        kind = rng.integers(0, 6)
        if kind == 0:
            key.append(None)
        key.append(int(rng.integers(-n, n)) if kind == 1 and n else _slice(rng, n))
    if rng.random() < 0.3:
        key[-1:] = [...]
    return lambda x: x[tuple(key)]


def _permutation(rng: np.random.Generator, shape: Shape) -> tuple[int, ...]:
    return tuple(rng.permutation(len(shape)).tolist())


def _piece(rng: np.random.Generator, shape: Shape) -> Any:
    axis = _axis(rng, shape)
    cuts = sorted(rng.integers(0, shape[axis] + 1, 2).tolist())
    which = int(rng.integers(0, 3))
    return lambda x: np.split(x, cuts, axis)[which]


def _rejoin(rng: np.random.Generator, shape: Shape) -> Any:
    axis = _axis(rng, shape)
    return lambda x: np.concatenate(np.array_split(x, 2, axis), axis)


def _unstacked(rng: np.random.Generator, shape: Shape) -> Any:
    axis = _axis(rng, shape)
    if not shape[axis]:
        return None
    which = int(rng.integers(0, shape[axis]))
    return lambda x: np.unstack(x, axis=axis)[which]


def _windows(rng: np.random.Generator, shape: Shape) -> Any:
    axis = _axis(rng, shape)
    if not shape[axis] or len(shape) > 4:
        return None
    return lambda x: np.lib.stride_tricks.sliding_window_view(x, min(2, shape[axis]), axis)


def _with(*arguments: str) -> Callable[[str], Any]:
    """Make moves of a function whose arguments are drawn by name."""
    draws: dict[str, Callable[[np.random.Generator, Shape], Any]] = {
        "axis": _axis,
        "permutation": _permutation,
        "place": lambda rng, shape: int(rng.integers(0, len(shape) + 1)),
        "turns": lambda rng, _: int(rng.integers(-2, 4)),
        "offset": lambda rng, _: int(rng.integers(-1, 2)),
        "pair": lambda rng, shape: _permutation(rng, shape)[:2],
        "shift": lambda rng, _: int(rng.integers(-3, 4)),
    }

    def maker(name: str) -> Any:
        function = _function(name)

        def make(rng: np.random.Generator, shape: Shape) -> Any:
            values = [draws[a](rng, shape) for a in arguments]
            return lambda x: function(x, *values)

        return make

    return maker


def _function(name: str) -> Any:
    found: Any = np
    for part in name.split("."):
        found = getattr(found, part)
    return found


_MOVES: dict[str, tuple[Any, int]] = {
    "index": (_index, 1),
    "split": (_piece, 1),
    "concatenate": (_rejoin, 1),
    "unstack": (_unstacked, 1),
    "sliding_window_view": (_windows, 1),
    "flip": (_with("axis")("flip"), 1),
    "flipud": (_with()("flipud"), 1),
    "fliplr": (_with()("fliplr"), 2),
    "rot90": (lambda r, s: _rot90(r, s), 2),
    "transpose": (_with("permutation")("transpose"), 1),
    "moveaxis": (_with("axis", "axis")("moveaxis"), 1),
    "swapaxes": (_with("axis", "axis")("swapaxes"), 1),
    "rollaxis": (_with("axis")("rollaxis"), 1),
    "expand_dims": (_with("place")("expand_dims"), 0),
    "squeeze": (_with()("squeeze"), 0),
    "atleast_2d": (_with()("atleast_2d"), 0),
    "atleast_3d": (_with()("atleast_3d"), 0),
    "einsum swap": (lambda r, s: lambda x: np.einsum("...ij->...ji", x), 2),
    "einsum diagonal": (lambda r, s: _square(s) and (lambda x: np.einsum("...ii->...i", x)), 2),
    "diagonal": (lambda r, s: lambda x: np.diagonal(x, 0, -2, -1), 2),
    "broadcast_to": (lambda r, s: lambda x: np.broadcast_to(x, (2, *s)), 0),
    "matrix_transpose": (_with()("matrix_transpose"), 2),
}


def _rot90(rng: np.random.Generator, shape: Shape) -> Any:
    axes = _permutation(rng, shape)[:2]
    turns = int(rng.integers(-2, 4))
    return lambda x: np.rot90(x, turns, axes)


def _square(shape: Shape) -> bool:
    return shape[-1] == shape[-2]


# --- values one by one: the places go with them, and the axis may be lost ------------------


def _at_axis(run: Callable[[Any, Any, int], Any], fill: bool = False) -> Any:
    """Make a step of a function that takes the voxels along an axis one by one."""

    def make(rng: np.random.Generator, shape: Shape) -> Any:
        axis = _axis(rng, shape)
        n = shape[axis]
        if not n:
            return None
        index = rng.integers(0, n, int(rng.integers(1, 4)))
        return lambda x: run(x, index, axis)

    make.fill = fill  # type: ignore[attr-defined]
    return make


def _along(x: Any, index: Any, axis: int) -> Any:
    shape = [1] * x.ndim
    shape[axis] = len(index)
    return np.take_along_axis(x, index.reshape(shape), axis)


_PICKS: dict[str, Any] = {
    "take": _at_axis(lambda x, i, axis: np.take(x, i, axis)),
    "take one": _at_axis(lambda x, i, axis: np.take(x, int(i[0]), axis)),
    "delete": _at_axis(lambda x, i, axis: np.delete(x, i, axis)),
    "delete one": _at_axis(lambda x, i, axis: np.delete(x, int(i[0]), axis)),
    "index array": _at_axis(lambda x, i, axis: x[(slice(None),) * (axis % x.ndim) + (i,)]),
    "take_along_axis": _at_axis(_along),
    "compress": _at_axis(
        lambda x, i, axis: np.compress(np.isin(np.arange(x.shape[axis]), i), x, axis)
    ),
    "repeat by counts": _at_axis(
        lambda x, i, axis: np.repeat(x, np.arange(x.shape[axis]) % 3, axis)
    ),
    "take wrapped": _at_axis(lambda x, i, axis: np.take(x, i - 5, axis, mode="wrap")),
}


def _inserted(x: Any, i: Any, axis: int, value: float) -> Any:
    return np.insert(x, int(i[0]), value, axis)


def _padded(x: Any, i: Any, axis: int, value: float) -> Any:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (int(i[0]) % 3, int(i[-1]) % 3)
    return np.pad(x, widths, constant_values=value)


def _appended(x: Any, i: Any, axis: int, value: float) -> Any:
    shape = list(x.shape)
    shape[axis] = len(i)
    return np.append(x, np.full(shape, value), axis)


def _tiled(x: Any, i: Any, axis: int, value: float) -> Any:
    reps = [1] * x.ndim
    reps[axis] = 2
    tiled = np.tile(x, reps)
    if value != value:  # of places: the grid goes on, and what is there is no old voxel
        tiled = tiled.copy()
        tiled[(slice(None),) * (axis % x.ndim) + (slice(x.shape[axis], None),)] = np.nan
    return tiled


#: Operations that add voxels: of the places, these are NaN.
_GROW = {"insert": _inserted, "pad": _padded, "append": _appended, "tile": _tiled}


# --- reductions: the middle of the extent ---------------------------------------------------


def _mean(places: Any, axis: Any, keepdims: bool = False) -> Any:
    return np.mean(places, axis, keepdims=keepdims)


_REDUCTIONS = (
    "sum prod max min mean std var median ptp any all argmax argmin count_nonzero nansum nanmax "
    "nanmean nanmedian nanprod nanstd"
).split()


def _reduced(name: str) -> Any:
    function = _function(name)

    def make(rng: np.random.Generator, shape: Shape) -> Any:
        axis = _axis(rng, shape)
        if not shape[axis]:
            return None
        keepdims = bool(rng.integers(0, 2))
        return (
            lambda x: function(x, axis=axis, keepdims=keepdims),
            lambda p: _mean(p, axis, keepdims),
        )

    return make


def _on_last(of_data: Function) -> Any:
    """Make a reduction of the last axis."""
    return lambda rng, shape: shape[-1] and (of_data, lambda p: _mean(p, -1))


def _quantiles(rng: np.random.Generator, shape: Shape) -> Any:
    axis = _axis(rng, shape)
    if not shape[axis]:
        return None
    return (
        lambda x: np.quantile(x, [0.25, 0.5], axis),
        lambda p: np.broadcast_to(_mean(p, axis), (2, *_mean(p, axis).shape)),
    )


_MORE_REDUCTIONS: dict[str, Any] = {
    "quantile": _quantiles,
    "percentile": _on_last(lambda x: np.percentile(x, 30, -1)),
    "average": _on_last(lambda x: np.average(x, -1)),
    "trapezoid": _on_last(lambda x: np.trapezoid(x, axis=-1)),
    "linalg.norm": _on_last(lambda x: np.linalg.norm(x, axis=-1)),
    "einsum sum": _on_last(lambda x: np.einsum("...i->...", x)),
    "dot": lambda rng, s: s[-1] and (lambda x: np.dot(x, np.ones(s[-1])), lambda p: _mean(p, -1)),
    "apply_along_axis": _on_last(lambda x: np.apply_along_axis(np.sum, -1, x)),
    "apply_over_axes": lambda rng, s: (
        s[0] and (lambda x: np.apply_over_axes(np.sum, x, 0), lambda p: _mean(p, 0, True))
    ),
    "add.reduce": lambda rng, s: s[0] and (lambda x: np.add.reduce(x), lambda p: _mean(p, 0)),
    "trace": lambda rng, s: (
        min(s[-2:])
        and (
            lambda x: np.trace(x, 0, -2, -1),
            lambda p: _mean(np.diagonal(p, 0, -2, -1), -1),
        )
    ),
}

# --- the grid is kept -----------------------------------------------------------------------

_KEEPING: dict[str, Function] = {
    "abs": np.abs,
    "add": lambda x: x + x,
    "where": lambda x: np.where(x > 3, x, 0),
    "clip": lambda x: np.clip(x, 1, 5),
    "round": lambda x: np.round(x, 1),
    "sort": lambda x: np.sort(x, 0),
    "argsort": lambda x: np.argsort(x, -1),
    "cumsum": lambda x: np.cumsum(x, -1),
    "add.accumulate": lambda x: np.add.accumulate(x, 0),
    "partition": lambda x: np.partition(x, 0, -1),
    "roll": lambda x: np.roll(x, 1, -1),
    "isin": lambda x: np.isin(x, [1, 2, 3]),
    "nan_to_num": np.nan_to_num,
    "digitize": lambda x: np.digitize(x, [1.0, 4.0]),
    "ones_like": np.ones_like,
    "copy": np.copy,
    "fftshift": lambda x: np.fft.fftshift(x, -1),
    "real": np.real,
    "searchsorted": lambda x: np.searchsorted([1.0, 4.0], x),
    "interp": lambda x: np.interp(x, [0.0, 9.0], [0.0, 1.0]),
    "select": lambda x: np.select([x > 3, x > 1], [x, 2 * x]),
    "choose": lambda x: np.choose(np.asarray(x > 3, int) if type(x) is np.ndarray else
                                  (x > 3).astype(int), [x, x + 1]),
    "minimum": lambda x: np.minimum(x, x * 0.5),
}  # fmt: skip

# --- new grids ------------------------------------------------------------------------------


def _diff(rng: np.random.Generator, shape: Shape) -> Any:
    axis = _axis(rng, shape)
    before = (slice(None),) * (axis % len(shape))
    low, high = (*before, slice(None, -1)), (*before, slice(1, None))
    return shape[axis] > 1 and (
        lambda x: np.diff(x, axis=axis),
        lambda p: (p[low] + p[high]) / 2,
    )


def _lost_along(places: Any, axis: int, result: Any) -> Any:
    """Return places of a result that has them no longer, where they varied along an axis."""
    varies = np.ptp(places, axis=axis).any() if places.size else True
    line = places.take([0], axis) if places.shape[axis] else np.full(result.shape, np.nan)
    return np.broadcast_to(np.nan if varies else line, result.shape)


def _transformed(of_data: Function) -> Any:
    """Make an operation after which the last axis holds something else."""

    def make(rng: np.random.Generator, shape: Shape) -> Any:
        if not shape[-1]:
            return None
        result = of_data(np.zeros(shape))
        return of_data, lambda p: _lost_along(p, -1, result)

    return make


def _everything_lost(of_data: Function) -> Any:
    def make(rng: np.random.Generator, shape: Shape) -> Any:
        return of_data, lambda p: np.full(of_data(np.arange(p.size).reshape(p.shape)).shape, np.nan)

    return make


_LOSING: dict[str, Any] = {
    "fft": _transformed(lambda x: np.abs(np.fft.fft(x))),
    "rfft": _transformed(lambda x: np.abs(np.fft.rfft(x))),
    "matmul": lambda rng, s: (
        s[-1]
        and len(s) > 1
        and _transformed(lambda x: np.matmul(x, np.ones((x.shape[-1], 2))))(rng, s)
    ),
    "add.reduceat": _transformed(lambda x: np.add.reduceat(x, [0], -1)),
}


# --- drawing ----------------------------------------------------------------------------------

#: By name, a function that draws a step for a shape, and the least number of axes.
OPERATIONS: dict[str, tuple[Callable[[np.random.Generator, Shape], Step | None], int]] = {}


def _enter() -> None:
    def moved(name: str, make: Any) -> Any:
        def made(rng: np.random.Generator, shape: Shape) -> Step | None:
            f = make(rng, shape)
            return Step(name, f, f) if f else None

        return made

    def picked(name: str, make: Any) -> Any:
        def made(rng: np.random.Generator, shape: Shape) -> Step | None:
            f = make(rng, shape)
            return Step(name, f, f, False) if f else None

        return made

    def grown(name: str, run: Any) -> Any:
        def made(rng: np.random.Generator, shape: Shape) -> Step | None:
            axis = _axis(rng, shape)
            if not shape[axis]:
                return None
            i = rng.integers(0, shape[axis], 2)
            exact = name in ("pad", "append", "tile")
            return Step(
                name, lambda x: run(x, i, axis, 7), lambda p: run(p, i, axis, np.nan), exact
            )

        return made

    def both(name: str, make: Any, exact: bool) -> Any:
        def made(rng: np.random.Generator, shape: Shape) -> Step | None:
            found = make(rng, shape)
            return Step(name, *found, exact) if found else None

        return made

    def kept(name: str, f: Function) -> Any:
        return lambda rng, shape: Step(name, f, _same) if 0 not in shape else None

    OPERATIONS.update({n: (moved(n, m), least) for n, (m, least) in _MOVES.items()})
    OPERATIONS.update({n: (picked(n, m), 1) for n, m in _PICKS.items()})
    OPERATIONS.update({n: (grown(n, m), 1) for n, m in _GROW.items()})
    OPERATIONS.update({n: (both(n, _reduced(n), True), 1) for n in _REDUCTIONS if hasattr(np, n)})
    OPERATIONS.update({
        n: (both(n, m, True), 2 if n == "trace" else 1) for n, m in _MORE_REDUCTIONS.items()
    })  # fmt: skip
    OPERATIONS.update({n: (kept(n, f), 1) for n, f in _KEEPING.items()})
    OPERATIONS["diff"] = (both("diff", _diff, True), 1)
    OPERATIONS.update({n: (both(n, m, False), 1) for n, m in _LOSING.items()})


_enter()
#: These add axes or voxels: not to arrays that are large already.
_LARGE = 200


def draw(rng: np.random.Generator, shape: Shape) -> Step:
    """Draw a step for an array of a shape."""
    names = list(OPERATIONS)
    while True:
        make, least = OPERATIONS[names[int(rng.integers(0, len(names)))]]
        if len(shape) < least:
            continue
        step = make(rng, shape)
        if step is None or not callable(step.of_data):
            continue
        grows = step.name in (*_GROW, "sliding_window_view", "broadcast_to", "expand_dims")
        if grows and (np.prod(shape) > _LARGE or len(shape) > 4):
            continue
        return step


# --- the truth -------------------------------------------------------------------------------


def places_of(geometry: Any) -> dict[str, Any]:
    """Return the place of each voxel along each world axis, by the definition of a geometry."""
    index = np.indices(geometry.shape).astype(float)
    steps = geometry.direction * geometry.spacing
    places = {}
    for row, name in enumerate(geometry.world.axes):
        place = np.full(geometry.shape, float(geometry.origin[row]))
        for column, axis in enumerate(geometry.sampled_axes):
            place += index[axis] * steps[row, column]
        places[name] = place
    return places


def check(geometry: Any, places: dict[str, Any], scale: float) -> str | None:
    """Return what a geometry claims and is not so, or None.

    Along an axis whose positions were lost it claims nothing. What is left of it at each index of
    such axes does.

    Parameters
    ----------
    geometry : Geometry
        Of the result of a chain.
    places : dict of str to ndarray
        Where its voxels truly lie along each world axis; NaN where that is unknown.
    scale : float
        The size of the numbers, for the tolerance.
    """
    lost = [axis for axis in geometry.lost if isinstance(axis, int)]
    if not lost:
        return _false_claim(geometry, places, scale)
    for at in list(np.ndindex(*[geometry.shape[axis] for axis in lost]))[:6]:
        key: list[Any] = [slice(None)] * geometry.ndim
        for axis, i in zip(lost, at, strict=True):
            key[axis] = i
        part = {name: place[tuple(key)] for name, place in places.items()}
        wrong = _false_claim(geometry[tuple(key)], part, scale)
        if wrong:
            return f"at {key} {wrong}"
    return None


def _false_claim(geometry: Any, places: dict[str, Any], scale: float) -> str | None:
    for name, claim in places_of(geometry).items():
        truth = np.asarray(places[name])
        if truth.shape != claim.shape:
            return f"shape {claim.shape}, and {truth.shape} is right"
        off = np.abs(claim - truth)
        worst = np.nanmax(off, initial=0.0)
        if worst > 1e-9 * scale:
            at = np.unravel_index(np.nanargmax(off), off.shape)
            return f"along {name!r}, voxel {at} claims {claim[at]} and lies at {truth[at]}"
    return None
