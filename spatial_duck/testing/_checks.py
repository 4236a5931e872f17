"""The checks of an image class: a table of expressions and what is expected of their results.

A check draws an expression in ``x`` for the shape of an image, and checks the class's result: the
values must be NumPy's, and every voxel must keep its position. To add one, add its row to `CHECKS`;
most are one line, with one of the expectations in `spatial_duck.testing._expectations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from spatial_duck.testing import _expectations as expect
from spatial_duck.testing._strategies import directions
from spatial_duck.testing._subject import FILL, Check, Grid, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[st.SearchStrategy[Any]], Any]
    Write = Callable[[Draw, tuple[int, ...], Subject], str]

__all__ = ["CHECKS", "grids"]

#: What several checks expect.
KEPT = "every voxel keeps its value and position"
SAME = "values as NumPy's, on the same grid"
REDUCED = "values as NumPy's, in the middle of where they came from"
HONEST = "no false positions: an axis has none, or its neighbours lie one step apart"
LAZY = "nothing is computed before the user asks, and every voxel keeps its position"
DEVICE = "nothing is copied to the host, and every voxel keeps its position"
XP = "x.__array_namespace__()"


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


# --- what is tried ------------------------------------------------------------------------


def _always(text: str) -> Write:
    return lambda _draw, _shape, _subject: text


def _attribute(name: str) -> Write:
    """Write how spacing, origin or direction is read from a class."""
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


def _transposition(draw: Draw, shape: tuple[int, ...], _: Subject) -> str:
    order = tuple(draw(st.permutations(range(len(shape)))))
    return f"np.transpose(x, {order})"


def _padding(draw: Draw, shape: tuple[int, ...], _: Subject) -> str:
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
        Check(
            name,
            "attributes",
            f"{name} comes back as it was given",
            _attribute(name),
            expect.attribute_kept(name),
        )
        for name in ("spacing", "origin", "direction")
    ),
    Check(
        "single voxel",
        "attributes",
        "an axis of one voxel keeps its spacing",
        _attribute("spacing"),
        expect.attribute_kept("spacing"),
        (1, 1),
    ),
    Check(
        "values",
        "attributes",
        "np.asarray(x) gives the array, and x.shape its shape",
        _always("np.asarray(x)"),
        expect.values_kept,
    ),
    *(
        Check(
            f"x.{name}",
            "attributes",
            f"{name} is found by this name",
            _always(f"x.{name}"),
            expect.interface_attribute,
        )
        for name in ("spacing", "origin", "direction")
    ),
    Check(
        "index and point",
        "attributes",
        "index_to_physical and physical_to_index follow the equation, both ways",
        _always("x.index_to_physical(...)"),
        expect.mapping_right,
    ),
    *(
        Check(
            f"{name}_xyz",
            "attributes",
            f"{name}_xyz and {name}_zyx agree with {name}",
            _always(f"x.{name}_xyz, x.{name}_zyx"),
            expect.ordered_names_agree,
        )
        for name in ("spacing", "origin")
    ),
    *(
        Check(
            f"spacing {value}",
            "attributes",
            f"a spacing of {value} is refused",
            _made_with(value),
            expect.nonsense_refused,
        )
        for value in ("nan", "inf", "0")
    ),
    # Indexing.
    Check("x[1:]", "indexing", KEPT, _slicing("1:", ":-1", "1:-1"), expect.voxels_kept, (3, 5)),
    Check("x[::2]", "indexing", KEPT, _slicing("::2", "1::2", "::3"), expect.voxels_kept),
    Check("x[::-1]", "indexing", KEPT, _slicing("::-1", "::-2", "-1:0:-1"), expect.voxels_kept),
    Check(
        "several slices",
        "indexing",
        KEPT,
        _slicing("1:", "::2", ":-1", whole=True),
        expect.voxels_kept,
        (2, 5),
    ),
    Check(
        "x[1]",
        "indexing",
        f"an integer takes a plane: {KEPT}",
        _slicing("1", "-1"),
        expect.plane_kept,
    ),
    Check("x[..., 1:]", "indexing", KEPT, _last, expect.voxels_kept),
    Check("x[None]", "indexing", f"a new axis moves nothing: {KEPT}", _newaxis, expect.voxels_kept),
    Check("x[1:1]", "indexing", "an empty slice is empty", _slicing("1:1"), expect.voxels_kept),
    Check(
        "x[[0, 2, 3]]", "indexing", HONEST, _slicing("[0, 2, 3]"), expect.no_false_positions, (4, 5)
    ),
    Check("x[mask]", "indexing", HONEST, _masked, expect.no_false_positions),
    Check("x.T", "indexing", KEPT, _always("x.T"), expect.voxels_kept),
    # NumPy's functions, or the class's own in their place.
    Check("np.flip", "functions", KEPT, _axis("np.flip(x, A)"), expect.voxels_kept),
    Check("np.rot90", "functions", KEPT, _axes("np.rot90(x, 1, (A, B))"), expect.voxels_kept),
    Check("np.transpose", "functions", KEPT, _transposition, expect.voxels_kept),
    Check("np.moveaxis", "functions", KEPT, _axes("np.moveaxis(x, A, B)"), expect.voxels_kept),
    Check("np.swapaxes", "functions", KEPT, _axes("np.swapaxes(x, A, B)"), expect.voxels_kept),
    Check("np.pad", "functions", KEPT, _padding, expect.voxels_kept),
    Check("np.split", "functions", KEPT, _axis("np.split(x, [1], A)[1]"), expect.voxels_kept),
    Check(
        "np.concatenate",
        "functions",
        KEPT,
        _pieces("np.concatenate([{FIRST}, {REST}], 0)"),
        expect.voxels_kept,
    ),
    Check(
        "np.concatenate, gap",
        "functions",
        "pieces that do not continue each other get no false place",
        _pieces("np.concatenate([{FIRST}, {LATER}], 0)"),
        expect.gap_refused,
        (3, 5),
    ),
    Check("np.stack", "functions", KEPT, _always("np.stack([x, x], 0)"), expect.voxels_kept),
    Check("np.expand_dims", "functions", KEPT, _axis("np.expand_dims(x, A)"), expect.voxels_kept),
    Check("np.squeeze", "functions", KEPT, _pieces("np.squeeze({ONE}, 0)"), expect.voxels_kept),
    Check(
        "np.repeat",
        "functions",
        "voxels get thinner, the middle one of three stays",
        _always("np.repeat(x, 3, 0)[1::3]"),
        expect.voxels_kept,
    ),
    Check("np.sqrt", "functions", SAME, _always("np.sqrt(x)"), expect.same_grid),
    Check("x * 2 + x", "functions", SAME, _always("x * 2 + x"), expect.same_grid),
    Check("x += 1", "functions", SAME, _always("operator.iadd(x, 1)"), expect.same_grid),
    Check("np.where", "functions", SAME, _always("np.where(x > 1, x, 0)"), expect.same_grid),
    Check("np.clip", "functions", SAME, _always("np.clip(x, 1, 3)"), expect.same_grid),
    Check("np.cumsum", "functions", SAME, _axis("np.cumsum(x, A)"), expect.same_grid),
    Check("x.astype", "functions", SAME, _always("x.astype(np.float32)"), expect.same_grid),
    Check("np.max", "functions", REDUCED, _always("np.max(x, 0)"), expect.reduction_kept),
    Check("np.mean", "functions", REDUCED, _always("np.mean(x, 0)"), expect.reduction_kept),
    Check("np.ravel", "functions", HONEST, _always("np.ravel(x)"), expect.no_false_positions),
    Check(
        "x + y elsewhere",
        "functions",
        "images of different places do not mix",
        _always("x + y"),
        expect.mixing_refused,
    ),
    # Data that are not to be touched.
    Check("Dask, as made", "lazy", LAZY, _always("x"), expect.on_dask(expect.voxels_kept)),
    Check("Dask, x[1:]", "lazy", LAZY, _slicing("1:", "::2"), expect.on_dask(expect.voxels_kept)),
    Check(
        "Dask, np.flip", "lazy", LAZY, _axis("np.flip(x, A)"), expect.on_dask(expect.voxels_kept)
    ),
    Check("Dask, np.transpose", "lazy", LAZY, _transposition, expect.on_dask(expect.voxels_kept)),
    Check("Dask, np.pad", "lazy", LAZY, _padding, expect.on_dask(expect.voxels_kept)),
    Check("Dask, arithmetic", "lazy", LAZY, _always("x * 2 + x"), expect.on_dask(expect.same_grid)),
    Check("device, x[1:]", "lazy", DEVICE, _slicing("1:", "::2"), expect.on_device),
    Check("device, np.flip", "lazy", DEVICE, _axis("np.flip(x, A)"), expect.on_device),
    # The way to others.
    Check("copy", "exchange", SAME, _always("copy.copy(x)"), expect.same_grid),
    Check("deepcopy", "exchange", SAME, _always("copy.deepcopy(x)"), expect.same_grid),
    Check("pickle", "exchange", SAME, _always("pickle.loads(pickle.dumps(x))"), expect.same_grid),
    Check("array API flip", "exchange", KEPT, _axis(f"{XP}.flip(x, axis=A)"), expect.voxels_kept),
    Check("array API sqrt", "exchange", SAME, _always(f"{XP}.sqrt(x)"), expect.same_grid),
    Check(
        "DLPack",
        "exchange",
        "the array goes over",
        _always("np.from_dlpack(x)"),
        expect.values_exchanged,
    ),
)
