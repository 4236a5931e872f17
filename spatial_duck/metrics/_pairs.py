"""Pairs of segmentations on one grid: check them, and map functions over their chunks."""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array import as_image
from spatial_duck.backends import chunk_values
from spatial_duck.errors import GeometryError
from spatial_duck.ndimage._domain import find_domain
from spatial_duck.ndimage._running import check_image, data_on_same_grid, require_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spatial_duck.array import SpatialArray

__all__ = ["check_pair", "map_chunk_pairs", "value_by_label"]


def check_pair(what: str, reference: Any, prediction: Any) -> tuple[SpatialArray, Any]:
    """Return the reference as an image and the data of the prediction, on one grid of space axes.

    Raises
    ------
    GeometryMismatchError
        If they lie on different grids.
    GeometryError
        If they have other axes than those of space.
    TypeError
        If they are not masks or labels.
    """
    reference = check_image(as_image(reference, what, "reference"), what, "biu")
    domain = find_domain(reference, None, what)
    if len(domain.axes) != reference.ndim:
        others = [reference.dims[i] or i for i in range(reference.ndim) if i not in domain.axes]
        raise GeometryError(
            f"{what} measures in space, and the axes {others!r} are not space axes: index them "
            "away first"
        )
    other = data_on_same_grid(what, reference, prediction)
    kind = backends.host_type(other.dtype).kind
    if kind not in "biu":
        raise TypeError(f"{what} needs masks or integer labels, got values of {other.dtype}")
    require_host(reference.data, what)
    require_host(other, what)
    return reference, other


def map_chunk_pairs(
    part: Callable[..., Any], join: Callable[[list[Any]], Any], one: Any, other: Any, halo: int = 0
) -> Any:
    """Return ``join`` of the results of ``part(a, b, start)`` for each pair of chunks.

    Parameters
    ----------
    part : callable
        Takes blocks of both arrays, and the index of their first voxel less the halo.
    join : callable
        Takes the list of results.
    one, other : array
        Arrays of one shape; Dask arrays go chunk by chunk, to a `dask.delayed.Delayed`.
    halo : int, optional
        Voxels around each block that are handed over with it, as far as there are any.
    """
    if not (backends.is_lazy(one) or backends.is_lazy(other)):
        return join([part(np.asarray(one), np.asarray(other), (0,) * one.ndim)])
    import dask

    first = backends.chunked(one, None)
    second = backends.chunked(other, None)
    second = second if second.chunks == first.chunks else second.rechunk(first.chunks)
    edges = [np.cumsum([0, *c]).tolist() for c in first.chunks]
    task, last = dask.delayed(part, pure=True), dask.delayed(join, pure=True)
    if not halo:
        places = product(*[e[:-1] for e in edges])
        pairs = zip(chunk_values(first), chunk_values(second), places, strict=True)
        return last([task(a, b, start) for a, b, start in pairs])
    found = []
    for bounds in product(*[list(pairwise(e)) for e in edges]):
        box = tuple(
            [slice(max(a - halo, 0), min(b + halo, n)) for (a, b), n in
             zip(bounds, one.shape, strict=True)]
        )  # fmt: skip
        found.append(task(first[box], second[box], tuple([s.start for s in box]), bounds))
    return last(found)


def value_by_label(
    value: Callable[[Any], float], found: dict[int, Any], masks: bool, labels: Any
) -> float | dict[int, float]:
    """Return the value of a pair of masks, or those of each label.

    Parameters
    ----------
    value : callable
        Function of what was found for one label, or of None where nothing was.
    found : dict
        What was found, by label; masks have the label 1.
    masks : bool
        Whether both are masks.
    labels : sequence of int, optional
        Labels to compare; by default all but 0 that either image has.
    """
    if masks and labels is None:
        return value(found.get(1))
    wanted: Sequence[int] = sorted(found) if labels is None else [int(i) for i in labels]
    return {int(i): value(found.get(int(i))) for i in wanted if i or labels is not None}
