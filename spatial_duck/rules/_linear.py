"""Linear algebra: axes that are summed over are removed, axes of new matrices are plain.

In a product of an image and a bare array, the image's other axes keep their positions. In a product
of two images those of the first do, and axes that are summed together must have the same positions
(or the images lie on one grid, as in ``image @ image``).
"""

from __future__ import annotations

import math
import operator
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as alignment
from spatial_duck.geometry._numbering import as_tuple, normalize_axis
from spatial_duck.rules._moves import flatten
from spatial_duck.rules._rule import elementwise_geometry, geometries, rule, shape_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

__all__ = ["contraction", "generalized_ufunc", "outer"]

Labels = tuple["Hashable", ...]


def contraction(
    function: str, operands: Sequence[tuple[Any, Sequence[Any]]], output: Sequence[Any]
) -> Geometry:
    """Return the geometry of a sum of products, as `numpy.einsum` writes them.

    Parameters
    ----------
    function : str
        Name of the function, for errors and `Geometry.lost`.
    operands : sequence of (Geometry or array, labels)
        Each operand, and a label for each of its axes.
    output : sequence of labels
        The label of each axis of the result.

    Raises
    ------
    GeometryMismatchError
        If axes of two images that share a label have different positions.
    """
    lengths: dict[Any, int] = {}
    images: list[tuple[Geometry, list[Any]]] = []
    for a, labels in operands:
        for n, label in zip(shape_of(a), labels, strict=True):
            lengths[label] = n if lengths.get(label, 1) == 1 else lengths[label]
        if isinstance(a, Geometry):
            images.append(_take_diagonals(a, labels, function))
    if len(images) > 1:
        _check_paired(function, images, list(lengths))
    # The image that gives the result most of its axes says where it lies.
    base, labels = max(images, key=lambda image: len({*image[1]} & {*output}))
    if any([base.shape[n] != lengths[label] for n, label in enumerate(labels)]):
        base = base.broadcast_to([lengths[label] for label in labels])
    sources = [labels.index(label) if label in labels else None for label in output]
    result = base.take_axes([lengths[label] for label in output], sources, function)
    for n, source in enumerate(sources):
        if source is not None or n in result.lost_axes:
            continue
        for g, theirs in images:
            if output[n] in theirs and theirs.index(output[n]) in g.sampled_axes:
                result = result.mark_lost(n, function)
    return result


def _take_diagonals(
    a: Geometry, labels: Sequence[Any], function: str
) -> tuple[Geometry, list[Any]]:
    """Return the geometry and labels after taking diagonals of axes that share a label."""
    found = list(labels)
    for label in dict.fromkeys(labels):
        while found.count(label) > 1:
            i = found.index(label)
            j = found.index(label, i + 1)
            if a.shape[i] != a.shape[j]:  # NumPy lets a length of 0 pass, and reads beyond the data
                raise ValueError(
                    f"{function}: axes {i} and {j} share the label {label!r} and have lengths "
                    f"{a.shape[i]} and {a.shape[j]}"
                )
            a = a.diagonal(0, i, j)
            found = [x for n, x in enumerate(found) if n not in (i, j)] + [label]
    return a, found


def _check_paired(
    function: str, images: Sequence[tuple[Geometry, list[Any]]], labels: list[Any]
) -> None:
    """Check that axes with the same label have the same positions."""
    first, its = images[0]
    for other, theirs in images[1:]:
        if first.shape == other.shape and alignment.is_same_grid(first, other):
            continue
        alignment.broadcast(
            function, [_arrange_axes(g, own, labels) for g, own in ((first, its), (other, theirs))]
        )


def _arrange_axes(a: Geometry, own: list[Any], labels: list[Any]) -> Geometry:
    """Return the geometry with an axis for each label, of length 1 for those that it lacks."""
    order = sorted(range(a.ndim), key=lambda i: labels.index(own[i]))
    key = tuple([slice(None) if label in own else None for label in labels])
    return a.transpose(order)[key]


def _label_pairs(
    n: int, m: int, left: Sequence[int], right: Sequence[int]
) -> tuple[list[Any], list[Any]]:
    """Return labels for the axes of two arrays; paired axes share one."""
    a: list[Any] = [("a", i) for i in range(n)]
    b: list[Any] = [("b", i) for i in range(m)]
    for i, j in zip(left, right, strict=True):
        a[i] = b[j] = ("both", i)
    return a, b


def _product(function: str, a: Any, b: Any, left: Sequence[int], right: Sequence[int]) -> Geometry:
    """Return the geometry of a product summed over pairs of axes; the others follow each other."""
    n, m = len(shape_of(a)), len(shape_of(b))
    left, right = [i % n for i in left], [i % m for i in right]
    first, second = _label_pairs(n, m, left, right)
    output = [x for x in (*first, *second) if x[0] != "both"]
    return contraction(function, [(a, first), (b, second)], output)


# --- products -----------------------------------------------------------------------------


def generalized_ufunc(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Return the geometry of a ufunc with core axes, such as matmul, whose cores have no place."""
    signature = ufunc.signature
    assert signature is not None
    if not geometries(*inputs):
        return None
    cores = _core_axes(signature)
    # A core axis that may be missing (n?) is missing where the array is too short for it.
    missing: set[str] = set()
    for core, a in zip(cores, inputs, strict=False):
        optional = [c for c in core if c.endswith("?") and c not in missing]
        excess = len([c for c in core if c not in missing]) - len(shape_of(a))
        if excess > len(optional):
            raise ValueError(
                f"{ufunc.__name__}: expected arrays with core dimensions {signature}, got "
                f"shapes {[shape_of(a) for a in inputs]}"
            )
        missing.update(optional[: max(excess, 0)])
    *given, output = [[c.rstrip("?") for c in core if c not in missing] for core in cores]
    axis, axes = keywords.get("axis"), keywords.get("axes") or ()

    def with_core(k: int, core: list[str], loops: int) -> list[Any]:
        """Return the labels of the axes of an operand, or of the result after the operands."""
        n = loops + len(core)
        where: Any = range(loops, n)
        if k < len(axes):
            where = [normalize_axis(i, n) for i in as_tuple(axes[k])]
        elif axis is not None and len(core) == 1 and k < len(inputs):
            where = [normalize_axis(axis, n)]
        labels: list[Any] = [("loop", i) for i in range(-loops, 0)]
        for i, name in sorted(zip(where, core, strict=True)):
            labels.insert(i, name)
        return labels

    loops = [len(shape_of(a)) - len(core) for a, core in zip(inputs, given, strict=True)]
    labelled = [(a, with_core(k, given[k], loops[k])) for k, a in enumerate(inputs)]
    return contraction(ufunc.__name__, labelled, with_core(len(inputs), output, max(loops)))


@cache
def _core_axes(signature: str) -> list[list[str]]:
    """Return the names of the core axes of each operand, and of the result."""
    return [re.findall(r"[^,() ]+", core) for core in re.findall(r"\([^()]*\)", signature)]


@rule("plain", np.linalg.matmul)
def _matmul(x1: Any, x2: Any) -> Any:
    return generalized_ufunc(np.matmul, (x1, x2), {})


@rule("derives", np.linalg.vecdot)
def _vecdot(x1: Any, x2: Any, axis: Any) -> Any:
    return generalized_ufunc(np.vecdot, (x1, x2), {"axis": axis})


@rule("plain", np.dot)
def _dot(a: Any, b: Any) -> Geometry | None:
    if not geometries(a, b):
        return None
    m = len(shape_of(b))
    if not m or not shape_of(a):
        return elementwise_geometry("dot", a, b)
    return _product("dot", a, b, (-1,), (-1 if m == 1 else -2,))


@rule("plain", np.vdot)
def _vdot(a: Any, b: Any) -> None:
    if len(geometries(a, b)) == 2 and a.shape == b.shape:
        elementwise_geometry("vdot", a, b)


@rule("plain", np.inner)
def _inner(a: Any, b: Any) -> Geometry:
    if not shape_of(a) or not shape_of(b):
        return elementwise_geometry("inner", a, b)
    return _product("inner", a, b, (-1,), (-1,))


@rule("plain", np.outer, np.linalg.outer)
def _outer(image: Any, other: Any) -> Geometry | None:
    lines = [
        flatten(x, "outer") if isinstance(x, Geometry) else np.empty(math.prod(shape_of(x)), bool)
        for x in (image, other)
    ]
    return outer("outer", *lines)


def outer(function: str, a: Any, b: Any) -> Geometry | None:
    """Return the geometry of each value of an array with each of another."""
    shape = (*shape_of(a), *shape_of(b))
    n, m = len(shape_of(a)), len(shape_of(b))
    if isinstance(a, Geometry):
        # The axes of a second image have the same positions: they cannot be sampled twice.
        result = a.expand_dims(tuple(range(n, n + m))).with_shape(shape)
        lost = b.lose(None, function).lost_axes if isinstance(b, Geometry) else {}
        for i, lost_by in lost.items():
            result = result.mark_lost(n + i, lost_by)
        return result
    if isinstance(b, Geometry):
        return b.expand_dims(tuple(range(n))).broadcast_to(shape)
    return None


@rule("plain", np.tensordot, np.linalg.tensordot)
def _tensordot(image: Any, other: Any, axes: Any) -> Geometry:
    n = len(shape_of(image))
    if hasattr(axes, "__len__"):
        left, right = (list(x) if hasattr(x, "__len__") else [x] for x in axes)
    else:
        count = operator.index(axes)
        left, right = list(range(n - count, n)), list(range(count))
    return _product("tensordot", image, other, left, right)


@rule("plain", np.linalg.multi_dot)
def _multi_dot(arrays: Any) -> Geometry | None:
    parts = [arrays[i] for i in range(arrays.shape[0])] if isinstance(arrays, Geometry) else arrays
    if not geometries(*parts):
        return None
    labelled, output = [], []
    for k, a in enumerate(parts):
        n = len(shape_of(a))
        labels = [k, k + 1] if n == 2 else ([1] if k == 0 else [k])
        labelled.append((a, labels))
        if n == 2 and k in (0, len(parts) - 1):
            output.append(0 if k == 0 else k + 1)
    return contraction("multi_dot", labelled, output)


@rule("plain", np.einsum)
def _einsum(operands: Any) -> Any:
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0].replace(" ", ""), list(operands[1:])
        left, arrow, right = subscripts.partition("->")
        terms: list[list[Any]] = [_letters(t) for t in left.split(",")]
        output: list[Any] | None = _letters(right) if arrow else None
    else:
        arrays, terms = list(operands[0 : len(operands) // 2 * 2 : 2]), []
        terms = [list(t) for t in operands[1 : len(operands) // 2 * 2 : 2]]
        output = list(operands[-1]) if len(operands) % 2 else None
    if not geometries(*arrays):
        return None
    labelled, most = [], 0
    for a, term in zip(arrays, terms, strict=True):
        dots = len(shape_of(a)) - len(term) + 1 if Ellipsis in term else 0
        most = max(most, dots)
        labelled.append((a, _expand_ellipsis(term, dots)))
    if output is None:
        flat_terms = [x for term in terms for x in term if x is not Ellipsis]
        output = [Ellipsis] if most else []
        output += sorted([x for x in dict.fromkeys(flat_terms) if flat_terms.count(x) == 1])
    return contraction("einsum", labelled, _expand_ellipsis(output, most))


def _letters(term: str) -> list[Any]:
    before, dots, after = term.partition("...")
    return [*before, *([Ellipsis] if dots else []), *after]


def _expand_ellipsis(term: Sequence[Any], dots: int) -> list[Any]:
    filled: list[Any] = []
    for label in term:
        filled += [("...", i) for i in range(-dots, 0)] if label is Ellipsis else [label]
    return filled


@rule("derives", np.kron)
def _kron(a: Any, b: Any) -> Geometry:
    n = max(len(shape_of(a)), len(shape_of(b)))
    padded = [(1,) * (n - len(shape_of(x))) + shape_of(x) for x in (a, b)]
    shape = tuple([p * q for p, q in zip(*padded, strict=True)])
    grid: Geometry
    if isinstance(a, Geometry) and not isinstance(b, Geometry):
        # Each voxel becomes a block of as many finer ones.
        grid = a[(None,) * (n - a.ndim) + (...,)]
        for i, count in enumerate(padded[1]):
            grid = grid.repeat(count, i)
        return grid
    if isinstance(b, Geometry) and not isinstance(a, Geometry):
        grid = b[(None,) * (n - b.ndim) + (...,)]  # the grid goes on, as for tile
        return grid.with_shape(shape)
    grid = a
    return grid.take_axes(shape, [None] * n, "kron")


def _cross_product(function: str, a: Any, b: Any, axisa: Any, axisb: Any, axisc: Any) -> Geometry:
    def last(x: Any, axis: Any) -> Any:
        if isinstance(x, Geometry):
            return x.moveaxis(axis, -1)
        shape = list(shape_of(x))
        size = shape.pop(normalize_axis(axis, len(shape)))
        return np.broadcast_to(np.empty((), bool), (*shape, size))

    first, second = last(a, axisa), last(b, axisb)
    sizes = {first.shape[-1], second.shape[-1]}
    if sizes == {2, 3}:
        both = geometries(first, second)
        merged = alignment.broadcast(function, [g[..., 0] for g in both])
        loops = np.broadcast_shapes(first.shape[:-1], second.shape[:-1])
        grid = merged.broadcast_to(loops)[..., None].resize_axis(-1, 3)
    else:
        grid = elementwise_geometry(function, first, second)
    return grid.reduce(-1) if sizes == {2} else grid.moveaxis(-1, axisc)


@rule("keeps", np.cross)
def _cross(a: Any, b: Any, axisa: Any, axisb: Any, axisc: Any, axis: Any) -> Geometry:
    axes = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    return _cross_product("cross", a, b, *axes)


@rule("keeps", np.linalg.cross)
def _linalg_cross(x1: Any, x2: Any, axis: Any) -> Geometry:
    return _cross_product("cross", x1, x2, axis, axis, axis)
