"""Pairs of segmentations on one grid: check them, and measure what lies in their chunks."""

from __future__ import annotations

import operator
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.ndimage._domain import check_space_alone, find_domain
from spatial_duck.ndimage._running import (
    check_image,
    data_on_same_grid,
    require_host,
    with_same_chunks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.array import SpatialArray

__all__ = ["Pair", "check_pair", "measure_with_halo", "value_by_label"]


class Pair(NamedTuple):
    """Two segmentations on one grid, and what is to be measured of them.

    Attributes
    ----------
    image : SpatialArray
        The reference.
    other : array
        The data of the prediction.
    masks : bool
        Whether they are masks: one of them is of bool.
    labels : tuple of int or None
        The labels that are to be measured; all but 0 if None.
    """

    image: SpatialArray
    other: Any
    masks: bool
    labels: tuple[int, ...] | None


def check_pair(what: str, reference: Any, prediction: Any, labels: Any) -> Pair:
    """Return two segmentations, after checking that they lie on one grid of space axes.

    Raises
    ------
    GeometryMismatchError
        If they lie on different grids.
    GeometryError
        If they have other axes than those of space.
    TypeError
        If they are not masks or labels, or the labels wanted are not whole numbers.
    ValueError
        If one is a mask, and labels are wanted that a mask does not have.
    """
    reference = check_image(reference, what, "biu", "reference", on_host=True)
    check_space_alone(reference, find_domain(reference, None, what), what)
    other = require_host(data_on_same_grid(what, reference, prediction, "prediction"), what)
    if np.dtype(other.dtype).kind not in "biu":
        raise TypeError(
            f"{what} needs a prediction of masks or integer labels, got values of {other.dtype}; "
            "such are prediction > threshold or prediction.astype('int32')"
        )
    masks = reference.dtype == bool or other.dtype == bool
    wanted = None if labels is None else _whole_numbers(labels)
    beyond = [label for label in wanted or () if masks and label not in (0, 1)]
    if beyond:
        raise ValueError(
            f"one image is a mask, which has the labels 0 and 1, and labels= asks for {beyond!r}: "
            f"compare the mask with other == {beyond[0]}"
        )
    return Pair(reference, other, masks, wanted)


def _whole_numbers(labels: Any) -> tuple[int, ...]:
    try:
        return tuple([operator.index(label) for label in labels])
    except TypeError:
        raise TypeError(
            f"labels must be a sequence of whole numbers such as [1, 2], got {labels!r}"
        ) from None


def measure_with_halo(
    part: Callable[..., Any], join: Callable[[list[Any]], Any], one: Any, other: Any, halo: int
) -> Any:
    """Return ``join`` of the results of ``part``, as `measure_parts` does, with halos.

    Parameters
    ----------
    part : callable
        Takes blocks of both arrays and the index of their first voxel; and of chunks, where they
        begin and end without the halo.
    join : callable
        Takes the list of results.
    one, other : array
        Arrays of one shape; in memory they go whole, and lazy ones chunk by chunk, to a
        `dask.delayed.Delayed`.
    halo : int
        Voxels around each block that are handed over with it, as far as there are any.
    """
    if not (backends.is_lazy(one) or backends.is_lazy(other)):
        return join([part(np.asarray(one), np.asarray(other), (0,) * one.ndim)])
    import dask

    first, second = with_same_chunks(one, other)
    edges = [np.cumsum([0, *c]).tolist() for c in first.chunks]
    task, last = dask.delayed(part, pure=True), dask.delayed(join, pure=True)
    found = []
    for bounds in product(*[list(pairwise(e)) for e in edges]):
        box = tuple(
            [slice(max(a - halo, 0), min(b + halo, n)) for (a, b), n in
             zip(bounds, one.shape, strict=True)]
        )  # fmt: skip
        found.append(task(first[box], second[box], tuple([s.start for s in box]), bounds))
    return last(found)


def value_by_label(
    value: Callable[[Any], Any],
    found: dict[int, Any],
    masks: bool,
    labels: tuple[int, ...] | None,
) -> Any:
    """Return the value of a pair of masks, or those of each label.

    Parameters
    ----------
    value : callable
        Function of what was found for one label, or of None where nothing was.
    found : dict
        What was found, by label; masks have the label 1.
    masks, labels
        Those of the `Pair`.

    Raises
    ------
    ValueError
        If there are other labels beside a mask.
    """
    if labels is not None:
        return {label: value(found.get(label)) for label in labels}
    if not masks:
        return {label: value(found[label]) for label in sorted(found)}
    others = sorted(found.keys() - {1})
    if others:
        raise ValueError(
            f"one image is a mask, and the other has the labels {others[:5]!r}: compare the mask "
            f"with other == {others[0]}, or with other > 0, or give labels=[1]"
        )
    return value(found.get(1))
