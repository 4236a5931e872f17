"""Hypothesis strategies: index keys, and operations that move voxels, one or in chains.

They reach for the hard cases: negative steps, arrays and masks as indices, axes of length 1 and 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from spatial_duck.testing._oracles import NO_VOXEL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    Draw = Callable[[st.SearchStrategy[Any]], Any]
    Shape = tuple[int, ...]

__all__ = ["OPERATIONS", "Operation", "chains", "keys", "operations"]

#: Chains stop growing an array beyond these.
_MAX_SIZE, _MAX_NDIM = 3000, 7

# --- keys ---------------------------------------------------------------------------------


def _slices(n: int) -> st.SearchStrategy[slice]:
    ends = st.none() | st.integers(-n - 2, n + 2)
    steps = st.sampled_from((None, 1, -1, 2, -2, 3, -3))
    whole = st.sampled_from((slice(None), slice(None, None, -1), slice(None, None, 2)))
    # Any slice; and, as often, ones that surely leave something of an axis that is not empty.
    low, high = st.sampled_from((None, 0, (n - 1) // 2)), st.sampled_from((None, n, n // 2 + 1))
    return st.builds(slice, ends, ends, steps) | whole | st.builds(slice, low, high)


@st.composite
def keys(draw: Draw, shape: Shape, *, advanced: bool = False) -> Any:
    """Return a strategy for index keys.

    Parameters
    ----------
    shape : tuple of int
        Shape of what is indexed.
    advanced : bool, optional
        Also integer arrays, masks and NumPy integers, of which those that walk the axis evenly
        are as likely as others.

    Returns
    -------
    strategy of (int, slice, None, Ellipsis, array, or tuple of these)
    """
    parts: list[Any] = []
    block = draw(st.sampled_from(((2,), (3,), (1,), (0,), (2, 3), (2, 1)))) if advanced else ()
    axis = 0
    stop = draw(st.integers(0, len(shape)))
    while axis < stop:
        if draw(st.integers(0, 5)) == 0:
            parts.append(None)
        n = shape[axis]
        kinds = ["slice", "slice", *(["int"] if n else [])]
        if advanced:
            kinds += ["array", "walk", "mask", *(["int_"] if n else [])]
        kind = draw(st.sampled_from(kinds))
        if kind == "slice":
            parts.append(draw(_slices(n)))
        elif kind in ("int", "int_"):
            index = draw(st.integers(-n, n - 1))
            parts.append(index if kind == "int" else np.int16(index))
        elif kind == "mask":
            span = draw(st.integers(1, min(2, stop - axis)))
            parts.append(draw(_masks(shape[axis : axis + span], block)))
            axis += span - 1
        else:
            parts.append(draw(_index_arrays(n, block, walk=kind == "walk")))
        axis += 1
    if draw(st.booleans()):
        # After the Ellipsis: keys for the last axes, where none of them is used yet.
        parts.append(Ellipsis)
        left = len(shape) - stop
        count = draw(st.integers(0, left))
        parts += [draw(_slices(n)) for n in shape[len(shape) - count :]] if count else []
    if draw(st.integers(0, 5)) == 0:
        parts.append(None)
    if len(parts) == 1 and draw(st.booleans()):
        return parts[0]
    return tuple(parts)


@st.composite
def _index_arrays(draw: Draw, n: int, block: Shape, *, walk: bool) -> Any:
    """Make an integer array whose shape broadcasts to `block`."""
    shape = tuple(draw(st.sampled_from((m, 1))) if m else 0 for m in block)
    shape = shape[draw(st.integers(0, len(shape) - 1)) :]
    size = int(np.prod(shape))
    if not n:
        shape = tuple(0 if i == len(shape) - 1 else m for i, m in enumerate(shape))
        return np.zeros(shape, int) if 0 in block else np.zeros((0,), int)
    if walk and size:
        # Every reachable corner start is fine: reduce the slopes until the walk stays inside.
        slopes = [draw(st.integers(-2, 2)) for _ in shape]
        index = sum(
            (s * np.arange(m).reshape([-1 if i == d else 1 for i in range(len(shape))])
             for d, (s, m) in enumerate(zip(slopes, shape, strict=True))),
            np.zeros(shape, int),
        )  # fmt: skip
        index = index - index.min()
        if index.max() < n:
            return index + draw(st.integers(0, n - 1 - int(index.max())))
    values = draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size))
    array = np.array(values, draw(st.sampled_from((np.int64, np.int8)))).reshape(shape)
    return array.tolist() if array.ndim == 1 and size and draw(st.booleans()) else array


@st.composite
def _masks(draw: Draw, shape: Shape, block: Shape) -> Any:
    """Make a mask, which selects as many voxels as the last axis of `block` where it can."""
    size = int(np.prod(shape))
    wanted = min(size, block[-1])
    chosen = draw(st.permutations(range(size)))[:wanted]
    mask = np.zeros(size, bool)
    mask[list(chosen)] = True
    return mask.reshape(shape)


# --- operations ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """A function of one array that moves its voxels, made of NumPy's functions.

    Attributes
    ----------
    name : str
        Name of the operation in `OPERATIONS`.
    text : str
        How it would be written, with ``x`` for the array.
    function : callable
        What it does.
    """

    name: str
    text: str
    function: Callable[[Any], Any]

    def __call__(self, x: Any) -> Any:
        """Apply it to an array or image."""
        return self.function(x)

    def __repr__(self) -> str:
        return self.text

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002
        """Show it so in Hypothesis's reports too."""
        printer.text(self.text)


def _operation(text: str, **values: Any) -> tuple[str, Callable[[Any], Any]]:
    """Make an operation of an expression in ``x``, ``np`` and values; both text and function."""
    code = compile(text, "<operation>", "eval")
    names = {"np": np, "window": np.lib.stride_tricks.sliding_window_view, **values}
    shown = text
    for name, value in values.items():
        shown = shown.replace(name, repr(value))
    return shown, lambda x: eval(code, {**names, "x": x})


def _axis(draw: Draw, shape: Shape) -> int:
    return int(draw(st.integers(-len(shape), len(shape) - 1)))


def _index(draw: Draw, shape: Shape) -> Any:
    return _operation("x[KEY]", KEY=draw(keys(shape)))


def _flip(draw: Draw, shape: Shape) -> Any:
    return _operation("np.flip(x, AXIS)", AXIS=draw(st.none() | st.just(_axis(draw, shape))))


def _rot90(draw: Draw, shape: Shape) -> Any:
    axes = tuple(draw(st.permutations(range(len(shape))))[:2])
    return _operation("np.rot90(x, TURNS, AXES)", TURNS=draw(st.integers(-4, 5)), AXES=axes)


def _transpose(draw: Draw, shape: Shape) -> Any:
    axes = tuple(draw(st.permutations(range(len(shape)))))
    return _operation("np.transpose(x, AXES)", AXES=draw(st.none() | st.just(axes)))


def _moveaxis(draw: Draw, shape: Shape) -> Any:
    count = draw(st.integers(1, len(shape)))
    source = tuple(draw(st.permutations(range(len(shape))))[:count])
    target = tuple(draw(st.permutations(range(len(shape))))[:count])
    return _operation("np.moveaxis(x, SOURCE, TARGET)", SOURCE=source, TARGET=target)


def _swapaxes(draw: Draw, shape: Shape) -> Any:
    return _operation("np.swapaxes(x, ONE, TWO)", ONE=_axis(draw, shape), TWO=_axis(draw, shape))


def _pad(draw: Draw, shape: Shape) -> Any:
    widths = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape]
    return _operation("np.pad(x, WIDTHS, constant_values=FILL)", WIDTHS=widths, FILL=NO_VOXEL)


def _split(draw: Draw, shape: Shape) -> Any:
    axis = _axis(draw, shape)
    n = shape[axis]
    cuts = sorted(draw(st.lists(st.integers(0, n), min_size=1, max_size=3)))
    which = draw(st.integers(0, len(cuts)))
    return _operation("np.split(x, CUTS, axis=AXIS)[WHICH]", CUTS=cuts, AXIS=axis, WHICH=which)


def _join(draw: Draw, shape: Shape) -> Any:
    axis = draw(st.integers(0, len(shape) - 1))
    cut = draw(st.integers(0, shape[axis]))
    before = (slice(None),) * axis
    return _operation(
        "np.concatenate([x[LOW], x[HIGH]], axis=AXIS)",
        LOW=(*before, slice(None, cut)),
        HIGH=(*before, slice(cut, None)),
        AXIS=axis,
    )


def _stack(draw: Draw, shape: Shape) -> Any:
    return _operation("np.stack([x, x], axis=AXIS)", AXIS=draw(st.integers(-1, len(shape))))


def _repeat(draw: Draw, shape: Shape) -> Any:
    # Of the three thinner voxels that each becomes, the middle one has its centre.
    axis = draw(st.integers(0, len(shape) - 1))
    middle = (*[slice(None)] * axis, slice(1, None, 3))
    return _operation("np.repeat(x, 3, axis=AXIS)[MIDDLE]", AXIS=axis, MIDDLE=middle)


def _window(draw: Draw, shape: Shape) -> Any:
    axis = draw(st.sampled_from([i for i, n in enumerate(shape) if n]))
    size = draw(st.integers(1, min(shape[axis], 3)))
    return _operation("window(x, SIZE, axis=AXIS)", SIZE=size, AXIS=axis)


def _squeeze(draw: Draw, shape: Shape) -> Any:
    axes = [i for i, n in enumerate(shape) if n == 1]
    some = tuple(draw(st.permutations(axes))[: draw(st.integers(0, len(axes)))])
    return _operation("np.squeeze(x, AXIS)", AXIS=draw(st.none() | st.just(some)))


def _expand_dims(draw: Draw, shape: Shape) -> Any:
    return _operation(
        "np.expand_dims(x, AXIS)", AXIS=draw(st.integers(-len(shape) - 1, len(shape)))
    )


def _take(draw: Draw, shape: Shape) -> Any:
    axis = draw(st.sampled_from([i for i, n in enumerate(shape) if n]))
    walk = range(shape[axis])[draw(_slices(shape[axis]))]
    return _operation("np.take(x, WALK, axis=AXIS)", WALK=np.array(walk, dtype=int), AXIS=axis)


def _delete(draw: Draw, shape: Shape) -> Any:
    # What stays is one run of voxels: its ends go, or every second voxel does.
    axis = draw(st.integers(0, len(shape) - 1))
    n = shape[axis]
    gone = draw(
        st.sampled_from((slice(0, n // 2), slice(n - n // 3, None), slice(1, None, 2), slice(0, 0)))
    )
    return _operation("np.delete(x, GONE, axis=AXIS)", GONE=gone, AXIS=axis)


def _diagonal(draw: Draw, shape: Shape) -> Any:
    one, two = draw(st.permutations(range(len(shape))))[:2]
    offset = draw(st.integers(-1, 1))
    return _operation("np.diagonal(x, OFFSET, ONE, TWO)", OFFSET=offset, ONE=one, TWO=two)


def _atleast(draw: Draw, _: Shape) -> Any:
    return _operation(f"np.atleast_{draw(st.integers(1, 3))}d(x)")


def _broadcast(_: Draw, shape: Shape) -> Any:
    return _operation("np.broadcast_to(x, SHAPE)", SHAPE=(2, *shape))


def _ones(_: Draw, shape: Shape) -> Any:
    return _operation("np.reshape(x, SHAPE)", SHAPE=(1, *shape, 1))


#: For each operation: how to draw one for a shape, and the least number of axes it needs.
OPERATIONS: dict[str, tuple[Callable[[Draw, Shape], Any], int]] = {
    "index": (_index, 0),
    "flip": (_flip, 1),
    "rot90": (_rot90, 2),
    "transpose": (_transpose, 1),
    "moveaxis": (_moveaxis, 1),
    "swapaxes": (_swapaxes, 1),
    "pad": (_pad, 1),
    "split": (_split, 1),
    "concatenate": (_join, 1),
    "stack": (_stack, 0),
    "repeat": (_repeat, 1),
    "sliding_window_view": (_window, 1),
    "squeeze": (_squeeze, 0),
    "expand_dims": (_expand_dims, 0),
    "take": (_take, 1),
    "delete": (_delete, 1),
    "diagonal": (_diagonal, 2),
    "atleast": (_atleast, 0),
    "broadcast_to": (_broadcast, 0),
    "reshape": (_ones, 0),
}
#: These need an axis that is not empty.
_NEED_VOXELS = frozenset({"sliding_window_view", "take"})
#: These add axes; a chain does so only while there are few.
_GROW = frozenset({"stack", "sliding_window_view", "expand_dims", "broadcast_to", "reshape"})


@st.composite
def operations(draw: Draw, shape: Shape, *, without: Collection[str] = ()) -> Operation:
    """Return a strategy for operations that move voxels and lose no positions.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    without : collection of str, optional
        Names in `OPERATIONS` that are not to be used.
    """
    large = len(shape) >= _MAX_NDIM - 1 or int(np.prod(shape)) > _MAX_SIZE
    possible = [
        name
        for name, (_, least) in OPERATIONS.items()
        if name not in without
        and len(shape) >= least
        and not (large and (name in _GROW or name == "pad"))
        and not (name in _NEED_VOXELS and not any(shape))
    ]
    # Indexing is what images see most.
    name = draw(st.sampled_from([*possible, "index", "index"]))
    text, function = OPERATIONS[name][0](draw, shape)
    return Operation(name, text, function)


@st.composite
def chains(
    draw: Draw,
    shape: Shape,
    *,
    min_size: int = 6,
    max_size: int = 9,
    without: Collection[str] = (),
) -> list[Operation]:
    """Return a strategy for chains of operations that move voxels.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array that the first is applied to.
    min_size, max_size : int, optional
        Bounds of the number of operations. A chain ends early only where no axis is left.
    without : collection of str, optional
        Names in `OPERATIONS` that are not to be used.

    Returns
    -------
    strategy of list of Operation
    """
    # A stand-in of the same shape goes along; it has next to no memory.
    stand_in: Any = np.broadcast_to(np.int8(0), shape)
    chain: list[Operation] = []
    for _ in range(draw(st.integers(min_size, max_size))):
        operation = draw(operations(stand_in.shape, without=without))
        result = operation(stand_in)
        if not result.ndim:
            # Numbers without an axis have no place: add an axis before the last one goes.
            operation = Operation("expand_dims", "np.expand_dims(x, 0)", _lead)
            result = operation(stand_in)
        chain.append(operation)
        stand_in = result
    return chain


def _lead(x: Any) -> Any:
    return np.expand_dims(x, 0)
