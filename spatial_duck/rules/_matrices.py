"""Inverses, decompositions and solutions: the matrix axes are plain.

The axes before them, along which matrices are stacked, keep their positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import normalize_axis
from spatial_duck.rules._linear import contraction
from spatial_duck.rules._rule import UNKNOWN, existing, geometries, rule, shape_of

__all__: list[str] = []


def _result_per_matrix(function: str, a: Geometry, *core: Any) -> Geometry:
    """Return the geometry of one result (matrix, vector or number) for each matrix of a stack."""
    n = a.ndim - 2
    return a.take_axes((*a.shape[:n], *core), (*range(n), *[None] * len(core)), function)


@rule("plain", *existing(np.linalg, "inv matrix_power cholesky"))
def _square(name: str, image: Geometry) -> Geometry:
    shape = image.shape
    return image.take_axes(shape, (*range(len(shape) - 2), None, None), name)


@rule("plain", np.linalg.pinv)
def _pinv(a: Geometry) -> Geometry:
    return _result_per_matrix("pinv", a, *a.shape[:-3:-1])


@rule("plain", *existing(np.linalg, "eig eigh"))
def _eig(name: str, image: Geometry) -> Any:
    return _result_per_matrix(name, image, image.shape[-1]), _result_per_matrix(
        name, image, *image.shape[-2:]
    )


@rule("plain", *existing(np.linalg, "eigvals eigvalsh svdvals"))
def _spectrum(name: str, image: Geometry) -> Geometry:
    return _result_per_matrix(name, image, min(image.shape[-2:]))


@rule("plain", np.linalg.qr)
def _qr(a: Geometry, mode: Any) -> Any:
    m, n = a.shape[-2:]
    k = min(m, n)
    if mode == "r":
        return _result_per_matrix("qr", a, k, n)
    if mode == "raw":
        return _result_per_matrix("qr", a, n, m), _result_per_matrix("qr", a, k)
    inner = m if mode == "complete" else k
    return _result_per_matrix("qr", a, m, inner), _result_per_matrix("qr", a, inner, n)


@rule("plain", np.linalg.svd)
def _svd(a: Geometry, full_matrices: Any, compute_uv: Any) -> Any:
    m, n = a.shape[-2:]
    k = min(m, n)
    singular = _result_per_matrix("svd", a, k)
    if not compute_uv:
        return singular
    left, right = ((m, m), (n, n)) if full_matrices else ((m, k), (k, n))
    return _result_per_matrix("svd", a, *left), singular, _result_per_matrix("svd", a, *right)


@rule("plain", np.linalg.solve)
def _solve(a: Any, b: Any) -> Geometry:
    n, m = shape_of(a), shape_of(b)
    vector = len(m) == 1
    loops_a, loops_b = len(n) - 2, 0 if vector else len(m) - 2
    first: list[Any] = [("loop", i) for i in range(-loops_a, 0)] + ["row", "new"]
    second: list[Any] = [("loop", i) for i in range(-loops_b, 0)] + ["row"]
    loops = [("loop", i) for i in range(-max(loops_a, loops_b), 0)]
    if vector:
        return contraction("solve", [(a, first), (b, second)], [*loops, "new"]).lose(-1, "solve")
    found = contraction("solve", [(a, first), (b, [*second, "k"])], [*loops, "new", "k"])
    return found.lose(-2, "solve") if isinstance(b, Geometry) else found.lose((-2, -1), "solve")


@rule("plain", np.linalg.lstsq)
def _lstsq(a: Any, b: Any) -> Any:
    n, m = shape_of(a), shape_of(b)
    first, second = ["row", "new"], ["row", "k"][: len(m)]
    solution = contraction("lstsq", [(a, first), (b, second)], ["new", *second[1:]])
    grid = geometries(a, b)[0]
    residuals = grid.take_axes((UNKNOWN,), (None,), "lstsq")
    singular = grid.take_axes((min(n),), (None,), "lstsq")
    return solution.lose(0, "lstsq"), residuals, None, singular


@rule("plain", np.linalg.tensorinv)
def _tensorinv(a: Geometry, ind: Any) -> Geometry:
    shape = (*a.shape[ind:], *a.shape[:ind])
    return a.take_axes(shape, [None] * a.ndim, "tensorinv")


@rule("plain", np.linalg.tensorsolve)
def _tensorsolve(a: Any, b: Any, axes: Any) -> Geometry:
    n, m = shape_of(a), shape_of(b)
    order = list(range(len(n)))
    for k in axes or ():
        order.remove(normalize_axis(k, len(n)))
        order.append(normalize_axis(k, len(n)))
    shape = [n[i] for i in order][len(m) :]
    grid = geometries(a, b)[0]
    return grid.take_axes(shape, [None] * len(shape), "tensorsolve")
