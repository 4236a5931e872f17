"""Expectations of an image class: each evaluates one expression and checks its result.

An expectation returns where the class is right, raises `Wrong` where it is not, and `NotOffered`
where the class refuses. `spatial_duck.testing._checks` is the table that uses them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.testing._device import DeviceArray
from spatial_duck.testing._oracles import displacement, positions
from spatial_duck.testing._subject import Grid, NotOffered, Subject, Wrong, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spatial_duck.testing._oracles import Place

    Expectation = Callable[[Subject, Grid, str], None]

__all__ = [
    "attribute_kept",
    "gap_refused",
    "interface_attribute",
    "mapping_right",
    "mixing_refused",
    "no_false_positions",
    "nonsense_refused",
    "on_dask",
    "on_device",
    "ordered_names_agree",
    "plane_kept",
    "reduction_kept",
    "same_grid",
    "values_exchanged",
    "values_kept",
    "voxels_kept",
]

#: Largest displacement that counts as none, in voxels.
TOLERANCE = 1e-6


def _reference(text: str, numbers: Any, **more: Any) -> Any:
    """Evaluate an expression with NumPy alone."""
    return np.asarray(evaluate(text, numbers, index=lambda array, key: array[key], **more))


def voxels_kept(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that every voxel of the result has the value and the position that it had."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    expected = _reference(text, grid.numbers())
    # A result without voxels needs no geometry.
    place = subject.expect_place(y, x) if expected.size else None
    if place is None and type(y) is not type(x):
        raise NotOffered(f"gives a bare {type(y).__name__}")
    subject.expect_values(y, expected)
    if place is not None:
        _expect_positions(grid, place, expected)


def plane_kept(subject: Subject, grid: Grid, text: str) -> None:
    """Expect a plane at its position; it may keep its axis, of one voxel."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    place = subject.expect_place(y, x)
    expected = _reference(text, grid.numbers())
    if subject.values(y).ndim == grid.numbers().ndim:
        kept = [i for i, n in enumerate(subject.values(y).shape) if n == 1]
        expected = np.expand_dims(expected, kept[0]) if kept else expected
    subject.expect_values(y, expected)
    _expect_positions(grid, place, expected)


def _expect_positions(grid: Grid, place: Place, numbers: Any) -> None:
    try:
        distance, report = displacement(grid.place, grid.shape, place, numbers.astype(int))
    except AssertionError as error:
        raise Wrong(str(error)) from error
    except IndexError as error:
        raise Wrong(f"axes {place.axes} have positions, of {numbers.ndim} axes") from error
    if not distance <= TOLERANCE:
        raise Wrong(report)


def same_grid(subject: Subject, grid: Grid, text: str) -> None:
    """Expect values as NumPy's, on the grid of ``x``."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    place = subject.expect_place(y, x)
    subject.expect_values(y, _reference(text, grid.numbers()))
    _expect_positions(grid, place, grid.numbers())


def reduction_kept(subject: Subject, grid: Grid, text: str) -> None:
    """Expect each voxel of the result within the line of voxels that were reduced."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    if y is x:
        raise NotOffered("NumPy takes the image for a single object")
    expected = _reference(text, grid.numbers())
    place = subject.expect_place(y, x)
    subject.expect_values(y, expected)
    # Where the lines begin: the voxels of the first plane along the axis.
    before = np.take(positions(grid.place, grid.shape), 0, axis=0)
    after = positions(place, expected.shape)
    if after.shape != before.shape:
        raise Wrong(
            f"the result lies in {after.shape[-1]} world dimensions and the image in "
            f"{before.shape[-1]}"
        )
    step = grid.spacing[0] * grid.direction[:, 0]
    along = (after - before) @ step / (step @ step)
    beside = np.abs(after - before - along[..., None] * step).max()
    if beside > 1e-6 * min(grid.spacing) or not (-1e-6 <= along.min() <= along.max()):
        raise Wrong("the result does not lie where the voxels were that were reduced")
    if along.max() > grid.shape[0] - 1 + 1e-6:
        raise Wrong("the result lies beyond the voxels that were reduced")


def no_false_positions(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that an axis has no positions, or neighbours one step apart."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    _expect_steps(subject, grid, y, x, _reference(text, grid.numbers()).astype(int))


def _expect_steps(subject: Subject, grid: Grid, y: Any, x: Any, numbers: Any) -> None:
    """Compare the step of each axis with the distances between its voxels."""
    try:
        place = subject.place(y)
    except Exception as error:  # it has no geometry, whatever it raises
        if type(y) is type(x):
            return
        raise NotOffered(f"gives a bare {type(y).__name__}") from error
    values = subject.values(y)
    if values.shape != numbers.shape:
        raise Wrong(f"the result has shape {values.shape}, and NumPy's {numbers.shape}")
    truth = positions(grid.place, grid.shape).reshape(-1, len(grid.shape))[numbers]
    for spacing, column, axis in zip(place.spacing, place.direction.T, place.axes, strict=True):
        if axis >= numbers.ndim:
            raise Wrong(f"axis {axis} has a position, and the result has {numbers.ndim} axes")
        steps = np.diff(truth, axis=axis)
        if steps.shape[-1] != len(column) or (
            steps.size and np.abs(steps - spacing * column).max() > 1e-6
        ):
            raise Wrong(
                f"axis {axis} claims a step of {(spacing * column).tolist()} between neighbours "
                f"that lie {steps.reshape(-1, steps.shape[-1])[0].tolist()} apart"
            )


def gap_refused(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that joining pieces with a gap is refused, or that the axis loses its positions."""
    fits = f"np.concatenate([{subject.index(':1')}, {subject.index('1:')}], 0)"
    try:
        voxels_kept(subject, grid, fits)
    except Wrong as error:
        raise NotOffered("pieces that fit are not joined rightly") from error
    try:
        no_false_positions(subject, grid, text)
    except NotOffered:
        return  # it joins adjacent pieces, and refuses these


def values_exchanged(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that another library gets the same numbers."""
    got = subject.apply(text, subject.make(grid))
    if not np.array_equal(np.asarray(got), grid.numbers()):
        raise Wrong("other values came out")


def mixing_refused(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that images on different grids do not mix."""
    x = subject.make(grid)
    same = subject.apply("x + y", x, y=subject.make(grid))
    subject.expect_place(same, x)
    moved = grid._replace(origin=tuple(o + s / 2 for o, s in zip(*grid[2:0:-1], strict=True)))
    y = subject.make(moved)
    try:
        mixed = subject.apply(text, x, y=y)
    except NotOffered:
        return
    if subject.values(mixed).size:
        raise Wrong(f"values of different grids were mixed; y is x with origin {moved.origin}")


def attribute_kept(name: str) -> Expectation:
    """Return the expectation that spacing, origin or direction comes back as it was given."""

    def expectation(subject: Subject, grid: Grid, text: str) -> None:
        found = np.asarray(getattr(_place_of(subject, subject.make(grid)), name))
        _expect_close(name, found, getattr(grid.place, name))

    return expectation


def _expect_close(what: str, found: Any, given: Any) -> None:
    found = np.asarray(found, float)
    if found.shape != given.shape or not np.allclose(found, given, rtol=1e-9, atol=1e-9):
        raise Wrong(f"{what} is {found.tolist()}, and {given.tolist()} was given")


def _place_of(subject: Subject, x: Any) -> Place:
    try:
        return subject.place(x)
    except AssertionError as error:
        raise Wrong(str(error)) from error
    except Exception as error:
        raise NotOffered(f"no geometry can be read: {type(error).__name__}: {error}") from error


def values_kept(subject: Subject, grid: Grid, text: str) -> None:
    """Expect the values that the image was made of."""
    x = subject.make(grid)
    subject.expect_values(x, grid.numbers())
    shape = getattr(x, "shape", None) if subject.values_of is None else None
    if shape is not None and tuple(shape) != grid.shape:
        raise Wrong(f"its shape is {tuple(shape)}, and its array has {grid.shape}")


def interface_attribute(subject: Subject, grid: Grid, text: str) -> None:
    """Expect an attribute by the name that the interface gives it, with its meaning."""
    x = subject.make(grid)
    value = subject.apply(text, x)
    if callable(value):
        raise NotOffered(f"{text} is a method")
    _expect_close(text, value, getattr(grid.place, text.removeprefix("x.")))


def mapping_right(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that indices and points map to each other by the one equation."""
    x = subject.make(grid)
    own = subject.functions
    index = [n // 2 for n in grid.shape]
    point = grid.place.origin + grid.direction @ (grid.spacing * np.array(index))
    to, back = "index_to_physical", "physical_to_index"
    forth = own.get(to) or getattr(type(x), to, None)
    if forth is None:
        raise NotOffered(f"there is no {to}")
    got = np.asarray(forth(x, index), float)
    if got.shape != point.shape or not np.allclose(got, point, atol=1e-6):
        raise Wrong(f"index {index} lies at {point.tolist()}, and {to} says {got.tolist()}")
    inverse = own.get(back) or getattr(type(x), back, None)
    if inverse is not None:
        got = np.asarray(inverse(x, point.tolist()), float)
        if got.shape != (len(index),) or not np.allclose(got, index, atol=1e-5):
            raise Wrong(f"{point.tolist()} has index {index}, and {back} says {got.tolist()}")


def ordered_names_agree(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that names that say their order agree with each other and with the geometry."""
    forth, back = (np.asarray(v, float) for v in subject.apply(text, subject.make(grid)))
    given = grid.spacing if "spacing" in text else grid.origin
    if not np.array_equal(forth, back[::-1]) or not np.allclose(sorted(forth), sorted(given)):
        raise Wrong(f"they are {forth.tolist()} and {back.tolist()}")


def nonsense_refused(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that an invalid geometry is refused."""
    subject.make(grid)
    try:
        evaluate(text, None, factory=subject.factory, numbers=grid.numbers())
    except Exception:  # of any type
        return
    raise Wrong("the image is made without an error")


class _Computed(Exception):
    """A Dask array was computed where nothing should compute."""


class _Voxels:
    """Voxels in memory, of which none may be read as long as they are closed."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values, self.closed = values, True
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if self.closed:
            raise _Computed("a Dask array was computed")
        part: NDArray[Any] = self.values[key]
        return part


def on_dask(expectation: Expectation) -> Expectation:
    """Return an expectation on Dask data, which may not be computed before the user asks."""

    def lazily(subject: Subject, grid: Grid, text: str) -> None:
        try:
            import dask.array as da
        except ImportError as error:
            raise NotOffered("Dask is not installed: not tried") from error
        made: list[_Voxels] = []

        def factory(data: Any, *place: Any) -> Any:
            made.append(_Voxels(np.asarray(data)))
            lazy = da.from_array(made[-1], chunks=2, meta=np.empty((0,) * data.ndim, data.dtype))
            return subject.factory(lazy, *place)

        lazy_subject = replace(subject, factory=factory)
        x = lazy_subject.make(grid)
        if not _is_lazy(subject, x):
            raise NotOffered("data are computed, or not taken, when an image is made")
        try:
            y = lazy_subject.apply(text, x)
            lazy_subject.expect_place(y, x)
        except NotOffered as error:
            if isinstance(error.__cause__, _Computed):
                raise Wrong("Dask data are computed before the user asks for values") from error
            raise

        def opened(data: Any, *place: Any) -> Any:
            lazy = factory(data, *place)
            made[-1].closed = False
            return lazy

        expectation(replace(subject, factory=opened), grid, text)

    return lazily


def _is_lazy(subject: Subject, x: Any) -> bool:
    """Whether reading an image's values computes Dask data."""
    try:
        subject.values(x)
    except _Computed:
        return True
    except Exception:
        return False
    return False


def on_device(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that data on a device, a stand-in that is no NumPy array, stay there."""
    before = DeviceArray.copies
    x = subject.make(grid, DeviceArray(grid.numbers()))
    y = subject.apply(text, x)
    place = subject.expect_place(y, x)
    if DeviceArray.copies != before:
        raise Wrong("data were copied from the device to the host")
    _expect_positions(grid, place, _reference(text, grid.numbers()))
