"""The checks of an image class: a table of small judges, each with a name, a level and a wish.

A check draws an expression in ``x`` for the shape of an image, and judges what the class makes of
it: the values must be NumPy's, and every voxel must keep its place. To add one, add its row to
`CHECKS`; most are one line, with one of the judges here.

A judge returns where the class is right, raises `Wrong` where it is not, and `NotOffered` where the
class refuses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from spatial_duck.testing.device import DeviceArray
from spatial_duck.testing.oracles import displacement, positions
from spatial_duck.testing.strategies import directions
from spatial_duck.testing.subject import FILL, Grid, NotOffered, Subject, Wrong, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.testing.oracles import Place

    Draw = Callable[[st.SearchStrategy[Any]], Any]
    Write = Callable[[Draw, tuple[int, ...], Subject], str]
    Judge = Callable[[Subject, Grid, str], None]

__all__ = ["CHECKS", "Check", "grids"]

#: What checks want, where several want the same.
KEPT = "every voxel keeps its value and place"
SAME = "values as NumPy's, on the same grid"
REDUCED = "values as NumPy's, in the middle of where they came from"
HONEST = "no false place: an axis has none, or its neighbours lie one step apart"
LAZY = "nothing is computed before it is asked for, and every voxel keeps its place"
DEVICE = "nothing is copied to the host, and every voxel keeps its place"
XP = "x.__array_namespace__()"
#: Largest displacement that counts as none, in voxels.
TOLERANCE = 1e-6


class Check(NamedTuple):
    """One check.

    Attributes
    ----------
    name, level, wanted : str
        As a report shows them.
    write : callable
        ``write(draw, shape, subject)`` draws the expression that is tried.
    judge : callable
        ``judge(subject, grid, text)``.
    sides : tuple of int
        Least and largest number of voxels along an axis.
    """

    name: str
    level: str
    wanted: str
    write: Write
    judge: Judge
    sides: tuple[int, int] = (2, 5)


@st.composite
def grids(draw: Draw, subject: Subject, sides: tuple[int, int] = (2, 5)) -> Grid:
    """Return a strategy for grids that a class can say.

    Parameters
    ----------
    subject : Subject
        Says which numbers of axes and which directions there are.
    sides : tuple of int, optional
        Least and largest number of voxels along an axis.
    """
    n = draw(st.sampled_from(subject.ndims))
    shape = tuple(draw(st.integers(*sides)) for _ in range(n))
    spacing = tuple(draw(st.sampled_from((1.0, 2.0, 0.3, 0.7, 12.5))) for _ in range(n))
    origin = tuple(draw(st.sampled_from((0.0, 5.0, -100.0, 0.1, 33.3))) for _ in range(n))
    if subject.oblique:
        kinds = {"sheared": subject.sheared, "flipped": subject.flipped}
        direction = draw(directions(n, n, oblique=True, **kinds))
    else:
        signs = (1.0, -1.0) if subject.flipped else (1.0,)
        direction = np.diag([draw(st.sampled_from(signs)) for _ in range(n)])
    return Grid(shape, spacing, origin, direction)


# --- judges -------------------------------------------------------------------------------


def _reference(text: str, numbers: Any, **more: Any) -> Any:
    """Evaluate an expression with NumPy alone."""
    return np.asarray(evaluate(text, numbers, index=lambda array, key: array[key], **more))


def _kept(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that every voxel that survives has the value and the place that it had."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    expected = _reference(text, grid.numbers())
    # Where no voxel is left, none has a place to keep.
    place = subject.expect_place(y, x) if expected.size else None
    if place is None and type(y) is not type(x):
        raise NotOffered(f"gives a bare {type(y).__name__}")
    subject.expect_values(y, expected)
    if place is not None:
        _expect_kept(grid, place, expected)


def _plane(subject: Subject, grid: Grid, text: str) -> None:
    """Expect a plane that lies where it lay; it may keep its axis, of one voxel."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    place = subject.expect_place(y, x)
    expected = _reference(text, grid.numbers())
    if subject.values(y).ndim == grid.numbers().ndim:
        kept = [i for i, n in enumerate(subject.values(y).shape) if n == 1]
        expected = np.expand_dims(expected, kept[0]) if kept else expected
    subject.expect_values(y, expected)
    _expect_kept(grid, place, expected)


def _expect_kept(grid: Grid, place: Place, numbers: Any) -> None:
    try:
        distance, report = displacement(grid.place, grid.shape, place, numbers.astype(int))
    except AssertionError as error:
        raise Wrong(str(error)) from error
    except IndexError as error:
        raise Wrong(f"axes {place.axes} have positions, of {numbers.ndim} axes") from error
    if not distance <= TOLERANCE:
        raise Wrong(report)


def _same_grid(subject: Subject, grid: Grid, text: str) -> None:
    """Expect values as NumPy's, on the grid of ``x``."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    place = subject.expect_place(y, x)
    subject.expect_values(y, _reference(text, grid.numbers()))
    _expect_kept(grid, place, grid.numbers())


def _reduced(subject: Subject, grid: Grid, text: str) -> None:
    """Expect each voxel of the result in the line of voxels that it came from."""
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


def _honest(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that an axis either has no positions, or its neighbours lie one step apart."""
    x = subject.make(grid)
    y = subject.apply(text, x)
    _expect_honest(subject, grid, y, x, _reference(text, grid.numbers()).astype(int))


def _expect_honest(subject: Subject, grid: Grid, y: Any, x: Any, numbers: Any) -> None:
    """Compare the step that each axis claims with those between the voxels that it holds."""
    try:
        place = subject.place(y)
    except Exception as error:  # it claims no place, in whatever way
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


def _gap(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that joining pieces with a gap is refused, or that the axis loses its place."""
    fits = f"np.concatenate([{subject.index(':1')}, {subject.index('1:')}], 0)"
    try:
        _kept(subject, grid, fits)
    except Wrong as error:
        raise NotOffered("pieces that fit are not joined rightly") from error
    try:
        _honest(subject, grid, text)
    except NotOffered:
        return  # it joins pieces that fit, and refuses these


def _handed_over(subject: Subject, grid: Grid, text: str) -> None:
    got = subject.apply(text, subject.make(grid))
    if not np.array_equal(np.asarray(got), grid.numbers()):
        raise Wrong("other values came out")


def _mixed(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that images of different places do not mix."""
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
        raise Wrong(f"values of different places were mixed; y is x with origin {moved.origin}")


def _read(name: str) -> Judge:
    """Return the judge of a fact of the place, which must come back as it was given."""

    def judge(subject: Subject, grid: Grid, text: str) -> None:
        found = np.asarray(getattr(_place_of(subject, subject.make(grid)), name))
        _expect_close(name, found, getattr(grid.place, name))

    return judge


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
        raise NotOffered(f"no place can be read: {type(error).__name__}: {error}") from error


def _values(subject: Subject, grid: Grid, text: str) -> None:
    x = subject.make(grid)
    subject.expect_values(x, grid.numbers())
    shape = getattr(x, "shape", None) if subject.values_of is None else None
    if shape is not None and tuple(shape) != grid.shape:
        raise Wrong(f"its shape is {tuple(shape)}, and its array has {grid.shape}")


def _named(subject: Subject, grid: Grid, text: str) -> None:
    """Expect an attribute by the name that the interface gives it, with its meaning."""
    x = subject.make(grid)
    value = subject.apply(text, x)
    if callable(value):
        raise NotOffered(f"{text} is a method")
    _expect_close(text, value, getattr(grid.place, text.removeprefix("x.")))


def _mapped(subject: Subject, grid: Grid, text: str) -> None:
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


def _ordered(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that names that say their order agree with each other and with the place."""
    forth, back = (np.asarray(v, float) for v in subject.apply(text, subject.make(grid)))
    given = grid.spacing if "spacing" in text else grid.origin
    if not np.array_equal(forth, back[::-1]) or not np.allclose(sorted(forth), sorted(given)):
        raise Wrong(f"they are {forth.tolist()} and {back.tolist()}")


def _nonsense(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that what cannot be a place is refused."""
    subject.make(grid)
    try:
        evaluate(text, None, factory=subject.factory, numbers=grid.numbers())
    except Exception:  # in its own way
        return
    raise Wrong("the image is made, and nothing is said")


class _Computed(Exception):
    """A Dask array was computed where nothing should be."""


def _refuse(*_: Any, **__: Any) -> Any:
    raise _Computed("a Dask array was computed")


def _over_dask(judge: Judge) -> Judge:
    """Make a judge work on Dask data, of which nothing may be computed before it is asked for."""

    def lazily(subject: Subject, grid: Grid, text: str) -> None:
        try:
            import dask
            import dask.array as da
        except ImportError as error:
            raise NotOffered("Dask is not installed: not tried") from error

        def factory(data: Any, *place: Any) -> Any:
            return subject.factory(da.from_array(data, chunks=2), *place)

        over_dask = replace(subject, factory=factory)
        with dask.config.set(scheduler=_refuse):
            x = over_dask.make(grid)
            if not _is_lazy(subject, x):
                raise NotOffered("data are computed, or not taken, when an image is made")
            try:
                y = over_dask.apply(text, x)
                over_dask.expect_place(y, x)
            except NotOffered as error:
                if isinstance(error.__cause__, _Computed):
                    raise Wrong("Dask data are computed before they are asked for") from error
                raise
        with dask.config.set(scheduler="synchronous"):
            judge(over_dask, grid, text)

    return lazily


def _is_lazy(subject: Subject, x: Any) -> bool:
    """Tell whether reading an image's values computes, where that is refused."""
    try:
        subject.values(x)
    except _Computed:
        return True
    except Exception:
        return False
    return False


def _on_device(subject: Subject, grid: Grid, text: str) -> None:
    """Expect that data on a device, a stand-in that is no NumPy array, stay there."""
    before = DeviceArray.copies
    x = subject.make(grid, DeviceArray(grid.numbers()))
    y = subject.apply(text, x)
    place = subject.expect_place(y, x)
    if DeviceArray.copies != before:
        raise Wrong("data were copied from the device to the host")
    _expect_kept(grid, place, _reference(text, grid.numbers()))


# --- what is tried ------------------------------------------------------------------------


def _always(text: str) -> Write:
    return lambda _draw, _shape, _subject: text


def _fact(name: str) -> Write:
    """Write how a fact of the place is read from a class."""
    place = ("spacing", "origin", "direction").index(name)

    def write(_draw: Draw, _shape: tuple[int, ...], subject: Subject) -> str:
        return f"x.{name}" if subject.geometry_of is None else f"geometry_of(x)[{place}]"

    return write


def _made_with(value: str) -> Write:
    """Write how an image is made with a spacing that cannot be."""
    number = "0.0" if value == "0" else f"np.{value}"

    def write(_draw: Draw, shape: tuple[int, ...], _: Subject) -> str:
        n = len(shape)
        spacing = f"({', '.join([number] + ['1.0'] * (n - 1))})"
        return f"factory(numbers, {spacing}, {(0.0,) * n}, np.eye({n}))"

    return write


def _slicing(*choices: str, whole: bool = False) -> Write:
    """Write an index of one axis, the others whole; or of each axis, if `whole`."""

    def write(draw: Draw, shape: tuple[int, ...], subject: Subject) -> str:
        parts = [":"] * len(shape)
        if whole:
            parts = [draw(st.sampled_from((":", *choices))) for _ in shape]
            if all(part == ":" for part in parts):
                parts[0] = choices[0]
        else:
            parts[draw(st.integers(0, len(shape) - 1))] = draw(st.sampled_from(choices))
        while len(parts) > 1 and parts[-1] == ":":
            parts.pop()
        return subject.index(*parts)

    return write


def _last(_draw: Draw, _shape: tuple[int, ...], subject: Subject) -> str:
    return subject.index("...", "1:")


def _newaxis(draw: Draw, shape: tuple[int, ...], subject: Subject) -> str:
    parts = [":"] * len(shape)
    parts.insert(draw(st.integers(0, len(shape))), "None")
    while parts[-1] == ":":
        parts.pop()
    return subject.index(*parts)


def _masked(_draw: Draw, shape: tuple[int, ...], subject: Subject) -> str:
    size = int(np.prod(shape))
    return subject.index(f"np.isin(np.arange({size}), (0, 2, 3)).reshape({shape})")


def _axis(template: str) -> Write:
    """Write a function of one axis; ``A`` stands for it."""
    return lambda draw, shape, _: template.replace("A", str(draw(st.integers(0, len(shape) - 1))))


def _axes(template: str) -> Write:
    """Write a function of two different axes, ``A`` and ``B``."""

    def write(draw: Draw, shape: tuple[int, ...], _: Subject) -> str:
        one, two = draw(st.permutations(range(len(shape))))[:2]
        return template.replace("A", str(one)).replace("B", str(two))

    return write


def _turned(draw: Draw, shape: tuple[int, ...], _: Subject) -> str:
    order = tuple(draw(st.permutations(range(len(shape)))))
    return f"np.transpose(x, {order})"


def _padded(draw: Draw, shape: tuple[int, ...], _: Subject) -> str:
    widths = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape]
    return f"np.pad(x, {widths}, constant_values={FILL})"


def _pieces(template: str) -> Write:
    """Write a function of pieces of ``x`` along its first axis."""
    keys = {"FIRST": ":1", "REST": "1:", "LATER": "2:", "ONE": "1:2"}

    def write(_draw: Draw, _shape: tuple[int, ...], subject: Subject) -> str:
        return template.format(**{name: subject.index(key) for name, key in keys.items()})

    return write


#: Every check, in the order of the levels.
CHECKS: tuple[Check, ...] = (
    # The place that was given comes back.
    *(
        Check(name, "attributes", f"{name} comes back as it was given", _fact(name), _read(name))
        for name in ("spacing", "origin", "direction")
    ),
    Check(
        "single voxel",
        "attributes",
        "an axis of one voxel keeps its spacing",
        _fact("spacing"),
        _read("spacing"),
        (1, 1),
    ),
    Check(
        "values",
        "attributes",
        "np.asarray(x) gives the array, and x.shape its shape",
        _always("np.asarray(x)"),
        _values,
    ),
    *(
        Check(
            f"x.{name}", "attributes", f"{name} is found by this name", _always(f"x.{name}"), _named
        )
        for name in ("spacing", "origin", "direction")
    ),
    Check(
        "index and point",
        "attributes",
        "index_to_physical and physical_to_index follow the equation, both ways",
        _always("x.index_to_physical(...)"),
        _mapped,
    ),
    *(
        Check(
            f"{name}_xyz",
            "attributes",
            f"{name}_xyz and {name}_zyx agree with {name}",
            _always(f"x.{name}_xyz, x.{name}_zyx"),
            _ordered,
        )
        for name in ("spacing", "origin")
    ),
    *(
        Check(
            f"spacing {value}",
            "attributes",
            f"a spacing of {value} is refused",
            _made_with(value),
            _nonsense,
        )
        for value in ("nan", "inf", "0")
    ),
    # Indexing.
    Check("x[1:]", "indexing", KEPT, _slicing("1:", ":-1", "1:-1"), _kept, (3, 5)),
    Check("x[::2]", "indexing", KEPT, _slicing("::2", "1::2", "::3"), _kept),
    Check("x[::-1]", "indexing", KEPT, _slicing("::-1", "::-2", "-1:0:-1"), _kept),
    Check(
        "several slices", "indexing", KEPT, _slicing("1:", "::2", ":-1", whole=True), _kept, (2, 5)
    ),
    Check("x[1]", "indexing", f"an integer takes a plane: {KEPT}", _slicing("1", "-1"), _plane),
    Check("x[..., 1:]", "indexing", KEPT, _last, _kept),
    Check("x[None]", "indexing", f"a new axis moves nothing: {KEPT}", _newaxis, _kept),
    Check("x[1:1]", "indexing", "an empty slice is empty", _slicing("1:1"), _kept),
    Check("x[[0, 2, 3]]", "indexing", HONEST, _slicing("[0, 2, 3]"), _honest, (4, 5)),
    Check("x[mask]", "indexing", HONEST, _masked, _honest),
    Check("x.T", "indexing", KEPT, _always("x.T"), _kept),
    # NumPy's functions, or the class's own in their place.
    Check("np.flip", "functions", KEPT, _axis("np.flip(x, A)"), _kept),
    Check("np.rot90", "functions", KEPT, _axes("np.rot90(x, 1, (A, B))"), _kept),
    Check("np.transpose", "functions", KEPT, _turned, _kept),
    Check("np.moveaxis", "functions", KEPT, _axes("np.moveaxis(x, A, B)"), _kept),
    Check("np.swapaxes", "functions", KEPT, _axes("np.swapaxes(x, A, B)"), _kept),
    Check("np.pad", "functions", KEPT, _padded, _kept),
    Check("np.split", "functions", KEPT, _axis("np.split(x, [1], A)[1]"), _kept),
    Check(
        "np.concatenate", "functions", KEPT, _pieces("np.concatenate([{FIRST}, {REST}], 0)"), _kept
    ),
    Check(
        "np.concatenate, gap",
        "functions",
        "pieces that do not continue each other get no false place",
        _pieces("np.concatenate([{FIRST}, {LATER}], 0)"),
        _gap,
        (3, 5),
    ),
    Check("np.stack", "functions", KEPT, _always("np.stack([x, x], 0)"), _kept),
    Check("np.expand_dims", "functions", KEPT, _axis("np.expand_dims(x, A)"), _kept),
    Check("np.squeeze", "functions", KEPT, _pieces("np.squeeze({ONE}, 0)"), _kept),
    Check(
        "np.repeat",
        "functions",
        "voxels get thinner, the middle one of three stays",
        _always("np.repeat(x, 3, 0)[1::3]"),
        _kept,
    ),
    Check("np.sqrt", "functions", SAME, _always("np.sqrt(x)"), _same_grid),
    Check("x * 2 + x", "functions", SAME, _always("x * 2 + x"), _same_grid),
    Check("x += 1", "functions", SAME, _always("operator.iadd(x, 1)"), _same_grid),
    Check("np.where", "functions", SAME, _always("np.where(x > 1, x, 0)"), _same_grid),
    Check("np.clip", "functions", SAME, _always("np.clip(x, 1, 3)"), _same_grid),
    Check("np.cumsum", "functions", SAME, _axis("np.cumsum(x, A)"), _same_grid),
    Check("x.astype", "functions", SAME, _always("x.astype(np.float32)"), _same_grid),
    Check("np.max", "functions", REDUCED, _always("np.max(x, 0)"), _reduced),
    Check("np.mean", "functions", REDUCED, _always("np.mean(x, 0)"), _reduced),
    Check("np.ravel", "functions", HONEST, _always("np.ravel(x)"), _honest),
    Check(
        "x + y elsewhere",
        "functions",
        "images of different places do not mix",
        _always("x + y"),
        _mixed,
    ),
    # Data that are not to be touched.
    Check("Dask, as made", "lazy", LAZY, _always("x"), _over_dask(_kept)),
    Check("Dask, x[1:]", "lazy", LAZY, _slicing("1:", "::2"), _over_dask(_kept)),
    Check("Dask, np.flip", "lazy", LAZY, _axis("np.flip(x, A)"), _over_dask(_kept)),
    Check("Dask, np.transpose", "lazy", LAZY, _turned, _over_dask(_kept)),
    Check("Dask, np.pad", "lazy", LAZY, _padded, _over_dask(_kept)),
    Check("Dask, arithmetic", "lazy", LAZY, _always("x * 2 + x"), _over_dask(_same_grid)),
    Check("device, x[1:]", "lazy", DEVICE, _slicing("1:", "::2"), _on_device),
    Check("device, np.flip", "lazy", DEVICE, _axis("np.flip(x, A)"), _on_device),
    # The way to others.
    Check("copy", "exchange", SAME, _always("copy.copy(x)"), _same_grid),
    Check("deepcopy", "exchange", SAME, _always("copy.deepcopy(x)"), _same_grid),
    Check("pickle", "exchange", SAME, _always("pickle.loads(pickle.dumps(x))"), _same_grid),
    Check("array API flip", "exchange", KEPT, _axis(f"{XP}.flip(x, axis=A)"), _kept),
    Check("array API sqrt", "exchange", SAME, _always(f"{XP}.sqrt(x)"), _same_grid),
    Check("DLPack", "exchange", "the array goes over", _always("np.from_dlpack(x)"), _handed_over),
)
