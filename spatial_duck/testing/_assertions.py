"""Assertions on images: in the same place, lazy, not copied from the device.

Each says in its message what was expected, what came and, for geometry, the first field that
differs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.testing._device import DeviceArray
from spatial_duck.testing._oracles import displacement, place_of

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = [
    "assert_geometry_equal",
    "assert_lazy",
    "assert_no_host_copy",
    "assert_same_place",
]


def assert_same_place(
    result: Any,
    original: Any,
    *,
    geometry_of: Callable[[Any], Sequence[Any]] | None = None,
    tolerance: float = 1e-9,
) -> None:
    """Assert that every voxel of a result lies where it lay in the original.

    Parameters
    ----------
    result : image
        What operations made of `original`; its values are voxel numbers of the original.
    original : image
        An image that was filled with `oracles.voxel_numbers` of its shape.
    geometry_of : callable, optional
        See `oracles.place_of`.
    tolerance : float, optional
        Largest displacement, in voxels.
    """
    numbers = np.asarray(result)
    if numbers.dtype.kind not in "iu":
        raise TypeError(
            f"the values must be voxel numbers, got {numbers.dtype}: fill the original with "
            "voxel_numbers(shape), or compare grids with assert_geometry_equal"
        )
    before, after = place_of(original, geometry_of), place_of(result, geometry_of)
    distance, report = displacement(before, original.shape, after, numbers)
    assert distance <= tolerance, f"moved by {distance:.3g} voxels: {report}"


def assert_geometry_equal(actual: Any, expected: Any, *, tolerance: float = 1e-9) -> None:
    """Assert that two images or geometries lie on the same grid.

    Parameters
    ----------
    actual, expected : Geometry, or anything with a ``geometry``
        They may be in different frames, world orders or units.
    tolerance : float, optional
        Largest displacement of a voxel centre, in voxels.
    """
    first: Geometry = getattr(actual, "geometry", actual)
    second: Geometry = getattr(expected, "geometry", expected)
    reason = first.difference(second, tolerance)
    assert reason is None, (
        f"the geometries differ first in {reason}\n  actual:   {first!r}\n  expected: {second!r}"
    )


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("a Dask array was computed where nothing should compute")


@contextmanager
def assert_lazy(*stores: Any) -> Iterator[None]:
    """Assert that inside the block no Dask array is computed and no chunk of a store is read.

    Works as a decorator too. What Dask computes with is set for the whole process, and so for other
    threads, as long as the block runs.

    Parameters
    ----------
    *stores : spatial_duck.testing._stores.RecordingStore
        Zarr stores that write down what is read from them.

    Yields
    ------
    None
    """
    seen = [len(store.chunks_read) for store in stores]
    with ExitStack() as stack:
        if "dask" in sys.modules:
            # The one setting of a process that the package changes: it is what is asked for here.
            stack.enter_context(sys.modules["dask"].config.set(scheduler=_refuse))
        yield
    for store, count in zip(stores, seen, strict=True):
        read = store.chunks_read[count:]
        assert not read, f"chunks were read where nothing should be read: {read}"


@contextmanager
def assert_no_host_copy() -> Iterator[None]:
    """Assert that inside the block no `DeviceArray` is copied to the host.

    Yields
    ------
    None
    """
    before = DeviceArray.copies
    yield
    count = DeviceArray.copies - before
    assert not count, f"data were copied from the device to the host {count} times"
