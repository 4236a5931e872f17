"""Sort the frames of a DICOM series into the slices of an image.

This module opens no files. Frames are sorted by their position along the normal of the image plane,
never by their number (`_grid`); those at one position are sorted by their elements (`_axes`).
Frames that do not lie on a grid raise an error that names the files: several orientations or sizes,
two frames at one position, missing slices, uneven steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io.dicom._axes import TAGS, Axis, SortedFrames, find_axes
from spatial_duck.io.dicom._grid import (
    MAX_NAMES,
    check_same_plane,
    find_lattice,
    find_line,
    group_by_plane,
    plane_geometry,
    plane_vectors,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.io.dicom._frames import Frame

__all__ = ["Slice", "Stack", "stack_frames", "stack_segments", "stack_unplaced"]


class Slice(NamedTuple):
    """One slice of the image: a frame, interpolated between two, or empty.

    Attributes
    ----------
    frame : Frame or None
        The frame, or the one before; None for an empty slice, whose values are 0.
    other : Frame or None
        The frame after, if the slice is interpolated.
    weight : float
        Weight of `other`.
    """

    frame: Frame | None
    other: Frame | None = None
    weight: float = 0.0


class Stack(NamedTuple):
    """Slices in order, and their grid.

    Attributes
    ----------
    slices : tuple of Slice
        Slices along the axes before rows and columns, the last the fastest.
    geometry : Geometry
        The grid, without an axis for the samples of colour images.
    axes : tuple of Axis
        The axes before z.
    """

    slices: tuple[Slice, ...]
    geometry: Geometry
    axes: tuple[Axis, ...] = ()


def stack_frames(
    where: object,
    frames: Sequence[Frame],
    *,
    tolerance: float = 0.01,
    irregular: Literal["refuse", "resample"] = "refuse",
    step: float | None = None,
    duplicates: Literal["refuse", "first"] = "refuse",
) -> Stack:
    """Sort frames and return their grid.

    Parameters
    ----------
    where : object
        The folder or file, named in messages.
    frames : sequence of Frame
        Frames with position, orientation and spacing.
    tolerance : float, optional
        Largest distance in mm of a slice from its position on the grid.
    irregular : {"refuse", "resample"}, optional
        What to do with uneven steps: raise an error, or interpolate linearly to even ones.
    step : float, optional
        Distance of interpolated slices; by default the median of the distances.
    duplicates : {"refuse", "first"}, optional
        What to do with frames at one position that do not differ in any element.

    Raises
    ------
    FormatError
        If they lie on no grid; the message names the frames.
    """
    check_same_plane(where, frames, tolerance)
    across, down = plane_vectors(where, frames[0])
    normal = np.cross(across, down)
    groups = group_by_plane(frames, normal, tolerance)
    found = _sort_within_groups(where, frames, groups, duplicates)
    line = find_line(
        where, [frames[group[0]] for group in found.groups], normal,
        tolerance=tolerance, irregular=irregular, step=step,
    )  # fmt: skip
    geometry = plane_geometry(frames[0], line, (across, down))
    for axis in reversed(found.axes):
        geometry = _add_leading_axis(geometry, axis)
    slices = [
        part
        for k in range(len(found.groups[0]))
        for part in _even_slices([frames[group[k]] for group in found.groups], line.numbers)
    ]
    return Stack(tuple(slices), geometry, found.axes)


def stack_segments(
    where: object, frames: Sequence[Frame], segments: Sequence[int], tolerance: float = 0.01
) -> Stack:
    """Sort the frames of a segmentation: one mask for each segment, with missing frames as 0.

    Parameters
    ----------
    where : object
        The file, named in messages.
    frames : sequence of Frame
        Frames with ReferencedSegmentNumber, unless there are no `segments`.
    segments : sequence of int
        Numbers of the segments, in order; empty for a map of labels, which is one volume.
    tolerance : float, optional
        As for `stack_frames`.

    Raises
    ------
    FormatError
        If a segment has two frames at one position, or the positions are not even.
    """
    check_same_plane(where, frames, tolerance)
    across, down = plane_vectors(where, frames[0])
    normal = np.cross(across, down)
    groups = group_by_plane(frames, normal, tolerance)
    line = find_lattice(
        where, [frames[group[0]] for group in groups], normal, frames[0].thickness, tolerance
    )
    rows = {int(p): z for z, p in enumerate(line.numbers) if np.isfinite(p)}
    order = {number: k for k, number in enumerate(segments)}
    grid: list[list[Slice]] = [
        [Slice(None)] * len(line.numbers) for _ in range(max(len(segments), 1))
    ]
    for p, group in enumerate(groups):
        for i in group:
            number = frames[i].elements.get("ReferencedSegmentNumber")
            if segments and number not in order:
                raise FormatError(
                    f"{where}: {frames[i].name} is of segment {number!r}, and SegmentSequence has "
                    f"{list(segments)}"
                )
            row = grid[order[number] if segments else 0]  # type: ignore[index]
            if row[rows[p]].frame is not None:
                raise FormatError(
                    f"{where}: segment {number} has two frames at one position: "
                    f"{row[rows[p]].frame.name} and {frames[i].name}"  # type: ignore[union-attr]
                )
            row[rows[p]] = Slice(frames[i])
    geometry = plane_geometry(frames[0], line, (across, down))
    if segments:
        geometry = _add_plain_axis(geometry, len(segments), "c")
    return Stack(tuple(s for row in grid for s in row), geometry)


def stack_unplaced(where: object, frames: Sequence[Frame]) -> Stack:
    """Return frames without positions in the order of their file, with dims y, x.

    Raises
    ------
    FormatError
        If they are in several files, whose order is unknown.
    """
    first = frames[0]
    if len({f.path for f in frames}) > 1:
        lost = [f for f in frames if not f.is_placed]
        raise FormatError(
            f"{where}: {len(lost)} of {len(frames)} frames have no position, orientation or pixel "
            f"spacing ({lost[0].name}, …), so that they cannot be put in order; open one file, or "
            "choose some with where={tag: value}"
        )
    world = World(("y", "x"), "mm" if first.spacing else None)
    geometry = Geometry(first.shape[:2], first.spacing or (1.0, 1.0), dims=("y", "x"), world=world)
    slices = tuple(map(Slice, frames))
    if len(frames) == 1:
        return Stack(slices, geometry)
    times = [f.elements.get("FrameTime") for f in frames]
    if None not in times:
        axis = Axis("FrameTime", tuple(times), "ms", "FrameTime of the film")
        return Stack(slices, _add_leading_axis(geometry, axis), (axis,))
    return Stack(slices, _add_plain_axis(geometry, len(frames), None))


def _sort_within_groups(
    where: object, frames: Sequence[Frame], groups: list[list[int]], duplicates: str
) -> SortedFrames:
    """Return the axes and the sorted frames of each position; raise for duplicates."""
    if duplicates not in ("refuse", "first"):
        raise ValueError(f"duplicates must be 'refuse' or 'first', got {duplicates!r}")
    counts = {len(group) for group in groups}
    if counts == {1}:
        return SortedFrames((), groups)
    found = find_axes(frames, groups) if len(counts) == 1 else None
    if found is not None:
        return found
    if duplicates == "first":
        return SortedFrames((), [group[:1] for group in groups])
    twice = [group for group in groups if len(group) > 1]
    pairs = "; ".join(" and ".join(frames[i].name for i in p[:3]) for p in twice[:MAX_NAMES])
    tags = [k for k in TAGS if any(len({frames[i].elements.get(k) for i in p}) > 1 for p in twice)]
    differ = f"they differ in {', '.join(sorted(tags))}" if tags else "they differ in no tag"
    if len(counts) > 1:
        some = min(groups, key=len)
        differ += (
            f", and not all positions have equally many ({len(some)} at {frames[some[0]].name}, "
            f"up to {max(counts)} elsewhere)"
        )
    raise FormatError(
        f"{where}: {len(twice)} duplicates, slices at the same position: {pairs}"
        f"{'; …' if len(twice) > MAX_NAMES else ''}; {differ}. Choose some with "
        "where={tag: value}, or the first of each with duplicates='first'"
    )


def _add_plain_axis(g: Geometry, count: int, name: str | None) -> Geometry:
    return Geometry(
        (count, *g.shape), g.spacing.tolist(), g.origin, g.direction, (name, *g.dims), world=g.world
    )


def _add_leading_axis(geometry: Geometry, axis: Axis) -> Geometry:
    """Return a geometry with a leading axis: time if its values are even, else a plain one."""
    g = geometry
    values = axis.values
    steps = np.diff(np.array(values, np.float64)) if axis.unit else np.zeros(1)
    even = bool((abs(steps - steps[0]) <= 1e-3 * steps[0]).all()) and steps[0] > 0
    if axis.unit is None or not even or "t" in g.dims:
        # Numbers of time points without times: the axis is time, at unknown positions.
        unnamed = axis.keyword.startswith("Temporal") or "c" in g.dims
        return _add_plain_axis(g, len(values), None if unnamed else "c")
    n_world, n_sampled = g.direction.shape
    direction = np.zeros((n_world + 1, n_sampled + 1))
    direction[:n_world, 1:], direction[n_world, 0] = g.direction, 1
    return Geometry(
        (len(values), *g.shape),
        [float(values[-1] - values[0]) / (len(values) - 1), *g.spacing],
        [*g.origin, float(values[0])],
        direction,
        ("t", *g.dims),
        world=World((*g.world.axes, "t"), (*g.unit, axis.unit), g.frame),
    )


def _even_slices(frames: Sequence[Frame], numbers: NDArray[Any]) -> list[Slice]:
    out = []
    for p in numbers:
        before = min(int(np.floor(p + 1e-9)), len(frames) - 1)
        weight = float(p - before)
        if weight <= 1e-9:
            out.append(Slice(frames[before]))
        else:
            out.append(Slice(frames[before], frames[before + 1], weight))
    return out
