"""Rules for the methods of ufuncs.

A rule here is called with the ufunc, the inputs and the keywords, in which each image is replaced
by its geometry, and returns the geometry of each output (or None for no image). Those that meet
core axes load with the first one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import normalize_axis
from spatial_duck.rules._rule import elementwise_geometry, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

__all__ = ["GENERALIZED", "METHODS"]

Keywords = dict[str, Any]


def _where(keywords: Keywords) -> Any:
    where = keywords.get("where", True)
    return None if where is True else where


def _outputs(ufunc: np.ufunc, geometry: Geometry) -> Any:
    return geometry if ufunc.nout == 1 else (geometry,) * ufunc.nout


def _images(*values: Any) -> list[Any]:
    return [v for v in values if isinstance(v, Geometry)]


def _call(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: Keywords) -> Any:
    arguments = (*inputs, _where(keywords))
    if not _images(*arguments):  # only `out` is an image: any bare result may be written there
        return None
    return _outputs(ufunc, elementwise_geometry(ufunc.__name__, *arguments))


def _reduce(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: Keywords) -> Any:
    a = inputs[0]
    axis = inputs[1] if len(inputs) > 1 else keywords.get("axis", 0)
    where = _where(keywords)
    if not isinstance(a, Geometry):
        return None
    if isinstance(where, Geometry):
        elementwise_geometry(f"{ufunc.__name__}.reduce (where=)", a, where)
    return a.reduce(axis, bool(keywords.get("keepdims", False)))


def _accumulate(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: Keywords) -> Any:
    return inputs[0] if isinstance(inputs[0], Geometry) else None


def _reduceat(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: Keywords) -> Any:
    a = inputs[0]
    if not isinstance(a, Geometry):
        return None
    # NumPy passes the axis as a keyword, however it was given.
    i = normalize_axis(keywords.get("axis", 0), a.ndim)
    shape = (*a.shape[:i], shape_of(inputs[1])[0], *a.shape[i + 1 :])
    return a.lose(i, f"{ufunc.__name__}.reduceat", shape=shape)


def _outer(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: Keywords) -> Any:
    from spatial_duck.rules._linear import outer

    geometry = outer(f"{ufunc.__name__}.outer", *inputs[:2])
    return None if geometry is None else _outputs(ufunc, geometry)


def _call_generalized(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: Keywords) -> Any:
    from spatial_duck.rules._linear import generalized_ufunc

    return generalized_ufunc(ufunc, inputs, keywords)


def _at(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: Keywords) -> Any:
    a, *rest = inputs
    if isinstance(a, Geometry) and len(rest) > 1 and isinstance(rest[1], Geometry):
        elementwise_geometry(f"{ufunc.__name__}.at", a[rest[0]], rest[1])


def _refuse_method(method: str) -> Callable[[np.ufunc, tuple[Any, ...], Keywords], Any]:
    def refuse(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: Keywords) -> Any:
        raise TypeError(f"{ufunc.__name__}.{method}: NumPy does not define it for this function")

    return refuse


#: By method of an elementwise ufunc.
METHODS: dict[str, Any] = {
    "__call__": _call,
    "reduce": _reduce,
    "accumulate": _accumulate,
    "reduceat": _reduceat,
    "outer": _outer,
    "at": _at,
}
#: By method of a generalised ufunc (one with core axes, such as matmul).
GENERALIZED: dict[str, Any] = {
    method: _call_generalized if method == "__call__" else _refuse_method(method)
    for method in METHODS
}
