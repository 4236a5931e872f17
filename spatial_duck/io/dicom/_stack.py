"""Put the frames of a DICOM series in order, and find the grid that they lie on.

Only numbers are handled here; no file is opened. Frames are sorted by their position along the
normal of the image plane, never by their number. A regular shift between slices (gantry tilt) is a
shear of the grid and kept as one. What lies on no grid is refused, naming the files: frames in
several orientations or sizes, two in one place, missing slices, uneven steps.

Formula: DICOM PS3.3 C.7.6.2.1.1, in LPS and mm: the centre of the pixel in row r and column c is
``position + orientation[:3] * spacing[1] * c + orientation[3:] * spacing[0] * r``.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Tags with their values, each in order.
Keys = tuple[tuple[str, tuple[Any, ...]], ...]

__all__ = ["KEYS", "Frame", "Slice", "Stack", "stacked"]

#: Tags by which frames in one place may differ, the likeliest first, and the unit of those that
#: are times.
KEYS: dict[str, str | None] = {
    "TemporalPositionTimeOffset": "s",
    "TriggerTime": "ms",
    "FrameReferenceTime": "ms",
    "NominalCardiacTriggerDelayTime": "ms",
    "TemporalPositionIdentifier": None,
    "TemporalPositionIndex": None,
    "EchoNumbers": None,
    "EchoTime": None,
    "EffectiveEchoTime": None,
    "DiffusionBValue": None,
    "ReferencedSegmentNumber": None,
    "ComplexImageComponent": None,
    "ImageType": None,
    "FrameType": None,
    "StackID": None,
    "AcquisitionNumber": None,
}

#: Pixels by which frames of one grid may be turned against each other, at a corner.
_TURN = 0.1
_NAMES = 4


class Frame(NamedTuple):
    """One image plane, as its header describes it.

    Attributes
    ----------
    path : Path
        The file.
    number : int or None
        Number of the frame in a multi-frame file, from 0.
    shape : tuple of int
        Rows, columns, and samples where there are several.
    position, orientation, spacing : tuple of float, or None
        ImagePositionPatient, ImageOrientationPatient, PixelSpacing.
    thickness : float or None
        Between slices, or of one.
    slope, intercept : float
        Of the modality's values.
    keys : mapping
        Values of the tags in `KEYS`.
    """

    path: Path
    number: int | None
    shape: tuple[int, ...]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float | None
    slope: float
    intercept: float
    keys: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name + ("" if self.number is None else f" (frame {self.number + 1})")


class Slice(NamedTuple):
    """One slice of the result: a frame, or a mixture of two.

    Attributes
    ----------
    frame : Frame
        The frame, or the one before.
    other : Frame or None
        The one after, where two are mixed.
    weight : float
        Of `other`.
    """

    frame: Frame
    other: Frame | None = None
    weight: float = 0.0


class Stack(NamedTuple):
    """Frames in order, and their grid.

    Attributes
    ----------
    slices : tuple of Slice
        By the leading axes (time, echo, …), then along z, the last the fastest.
    geometry : Geometry
        Dims ``(z, y, x)`` after a leading axis for each of `keys`. Channels of colour images are
        not among them.
    keys : tuple of (str, tuple)
        The tag by which each leading axis goes, and its values; none, one or two.
    """

    slices: tuple[Slice, ...]
    geometry: Geometry
    keys: Keys


def stacked(
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
        The folder or file, for messages.
    frames : sequence of Frame
        All with position, orientation and spacing.
    tolerance : float, optional
        Largest distance in mm of a slice's position from where the grid has it.
    irregular : {"refuse", "resample"}, optional
        What to do with uneven steps: refuse them, or mix neighbouring slices linearly to even ones.
    step : float, optional
        Distance of the slices then; by default the median of what is there.
    duplicates : {"refuse", "first"}, optional
        What to do with frames in one place that no tag of `KEYS` tells apart.

    Raises
    ------
    FormatError
        If they lie on no grid; the message names the frames.
    """
    _check_alike(where, frames, tolerance)
    first = frames[0]
    across, down = _plane(where, first)
    normal = np.cross(across, down)
    places = np.array([f.position for f in frames])
    depth = places @ normal
    order = np.argsort(depth, kind="stable")
    groups = _groups(order, depth, tolerance)
    keys, piles = _piles(where, frames, groups, duplicates)
    line = places[[pile[0] for pile in piles]]
    origin, vector, positions = _line(
        where, [frames[pile[0]] for pile in piles], line, normal, tolerance, irregular, step
    )
    geometry = _geometry(first, len(positions), origin, vector, (across, down))
    for key, values in reversed(keys):
        geometry = _with_leading(geometry, key, values)
    slices = [
        part
        for k in range(len(piles[0]))
        for part in _mixed([frames[pile[k]] for pile in piles], positions)
    ]
    return Stack(tuple(slices), geometry, keys)


def _listed(frames: Sequence[Frame]) -> str:
    names = [f.name for f in frames[:_NAMES]]
    rest = len(frames) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest > 0 else "")


def _plane(where: object, frame: Frame) -> tuple[Floats, Floats]:
    """Return the unit vectors along a row and down a column."""
    cosines = np.array(frame.orientation, np.float64).reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    if not (abs(lengths - 1) < 1e-3).all() or not abs(cosines[0] @ cosines[1]) < 1e-3:
        raise FormatError(
            f"{where}: ImageOrientationPatient of {frame.name} must be two orthogonal unit "
            f"vectors, got {list(frame.orientation or ())}"
        )
    return cosines[0], cosines[1]


def _check_alike(where: object, frames: Sequence[Frame], tolerance: float) -> None:
    """Refuse frames of several sizes, pixel spacings or orientations."""
    first = frames[0]
    _plane(where, first)
    assert first.spacing is not None
    reach = max(first.shape[0] * first.spacing[0], first.shape[1] * first.spacing[1])
    limit = max(tolerance, _TURN * min(first.spacing)) / max(reach, 1e-9)
    for field, same in (
        ("shape", lambda f: f.shape == first.shape),
        ("spacing", lambda f: np.allclose(f.spacing, first.spacing, limit, 0)),
        ("orientation", lambda f: np.allclose(f.orientation, first.orientation, 0, limit)),
    ):
        others = [f for f in frames if not same(f)]
        if not others:
            continue
        tag = {
            "shape": "Rows and Columns",
            "spacing": "PixelSpacing",
            "orientation": "ImageOrientationPatient",
        }[field]
        what = "mixed orientations" if field == "orientation" else f"frames of several {tag}"
        alike = [f for f in frames if same(f)]
        # Tags are compared one by one, and a size is two tags.
        advice = "Rows" if field == "shape" else tag
        raise FormatError(
            f"{where}: {what} in one series: {len(alike)} have {_value(first, field)} "
            f"({_listed(alike)}), {len(others)} have others, such as {_value(others[0], field)} "
            f"({_listed(others)}); take some with where={{{advice!r}: ...}}"
        )


def _value(frame: Frame, field: str) -> list[float]:
    return list(getattr(frame, field))


def _groups(order: NDArray[Any], depth: Floats, tolerance: float) -> list[list[int]]:
    """Gather the frames that lie in one plane."""
    groups: list[list[int]] = []
    for i in order:
        if groups and depth[i] - depth[groups[-1][0]] <= tolerance:
            groups[-1].append(int(i))
        else:
            groups.append([int(i)])
    return groups


def _piles(
    where: object, frames: Sequence[Frame], groups: list[list[int]], duplicates: str
) -> tuple[Keys, list[list[int]]]:
    """Find the tag, or the two, that tell frames in one place apart, and sort each pile by them."""
    count = len(groups[0])
    if all(len(g) == 1 for g in groups):
        return (), groups
    if all(len(g) == count for g in groups):
        keys = _told_apart(frames, groups, count)
        if keys:
            names = [key for key, _ in keys]

            def rank(i: int) -> tuple[Any, ...]:
                return tuple(frames[i].keys[name] for name in names)

            return keys, [sorted(g, key=rank) for g in groups]
    if duplicates == "first":
        return (), [g[:1] for g in groups]
    twice = [g for g in groups if len(g) > 1]
    pairs = "; ".join(" and ".join(frames[i].name for i in g[:3]) for g in twice[:_NAMES])
    tags = sorted({k for g in twice for k in KEYS if len({frames[i].keys.get(k) for i in g}) > 1})
    differ = f"they differ in {', '.join(tags)}" if tags else "no known tag tells them apart"
    raise FormatError(
        f"{where}: {len(twice)} duplicates, slices that lie in one place: {pairs}"
        f"{'; …' if len(twice) > _NAMES else ''}; {differ}. Take some with where={{tag: value}}, "
        "or the first of each with duplicates='first'"
    )


def _told_apart(frames: Sequence[Frame], groups: list[list[int]], count: int) -> Keys:
    """Return one tag of which each pile has the same values, or two of which it has each pair."""
    values: dict[str, list[Any]] = {}
    for key in KEYS:
        found = {frames[i].keys.get(key) for g in groups for i in g}
        if None not in found and 1 < len(found) <= count:
            values[key] = sorted(found)
    for size in (1, 2):
        for names in itertools.combinations(values, size):
            if math.prod(len(values[name]) for name in names) != count:
                continue
            wanted = set(itertools.product(*[values[name] for name in names]))
            if all({tuple(frames[i].keys[n] for n in names) for i in g} == wanted for g in groups):
                return tuple((name, tuple(values[name])) for name in names)
    return ()


def _line(
    where: object,
    frames: Sequence[Frame],
    places: Floats,
    normal: Floats,
    tolerance: float,
    irregular: str,
    step: float | None,
) -> tuple[Floats, Floats, Floats]:
    """Return origin and step of the slices, and their fractional numbers among the frames."""
    n = len(places)
    if n == 1:
        return places[0], normal * (frames[0].thickness or 1.0), np.zeros(1)
    numbers = np.arange(n)
    if irregular == "refuse" or step is None:
        for origin, vector in _fits(places):
            off = _lengths(origin + numbers[:, None] * vector - places)
            if float(np.max(off)) <= tolerance:
                return origin, vector, numbers.astype(np.float64)
    if irregular == "refuse":
        raise FormatError(_reason(where, frames, places, normal, tolerance))
    if irregular != "resample":
        raise ValueError(f"irregular must be 'refuse' or 'resample', got {irregular!r}")
    chord = places[-1] - places[0]
    length = float(np.linalg.norm(chord))
    along = (places - places[0]) @ chord / length
    off = _lengths(places[0] + along[:, None] * (chord / length) - places)
    if float(np.max(off)) > tolerance:
        worst = int(np.argmax(off))
        raise FormatError(
            f"{where}: the slices do not lie on one line: {frames[worst].name} is "
            f"{off[worst]:.4g} mm beside it, more than tolerance={tolerance}; they cannot be mixed "
            "to even steps. Accept that with a larger tolerance= in mm"
        )
    size = float(np.median(np.diff(along))) if step is None else float(step)
    if not size > 0:
        raise ValueError(f"step must be positive, got {step!r}")
    targets = np.arange(int(np.floor(length / size + 1e-6)) + 1) * size
    return places[0], chord / length * size, np.interp(targets, along, numbers)


def _lengths(vectors: Floats) -> Floats:
    out: Floats = np.sqrt((vectors**2).sum(axis=1))
    return out


def _fits(places: Floats) -> list[tuple[Floats, Floats]]:
    """Return origins and steps to try: from the first to the last, and the best of all."""
    n = len(places)
    numbers = np.arange(n) - (n - 1) / 2
    slope = numbers @ places / (numbers @ numbers)
    return [
        (places[0], (places[-1] - places[0]) / (n - 1)),
        (places.mean(axis=0) - slope * (n - 1) / 2, slope),
    ]


def _reason(
    where: object, frames: Sequence[Frame], places: Floats, normal: Floats, tolerance: float
) -> str:
    """Say why slices lie on no grid."""
    steps = np.diff(places, axis=0)
    gaps: Floats = np.asarray(steps @ normal)
    usual = float(np.median(gaps))
    smallest = float(np.min(gaps))
    times = gaps / smallest
    whole = np.round(times)
    end = (
        "; mix neighbouring slices to even steps with irregular='resample', or take some with "
        "where={tag: value}"
    )
    uneven = [i for i in range(len(gaps)) if abs(gaps[i] - usual) > tolerance]
    if uneven and (abs(times - whole) * smallest <= 2 * tolerance).all():
        holes = [i for i in range(len(gaps)) if whole[i] > 1]
        missing = int(whole.sum() - len(gaps))
        lines = ", ".join(
            f"{int(whole[i]) - 1} between {frames[i].name} and {frames[i + 1].name}"
            for i in holes[:_NAMES]
        )
        return (
            f"{where}: missing slices at {smallest:.6g} mm steps: {missing}, {lines}"
            f"{', …' if len(holes) > _NAMES else ''}{end}"
        )
    if uneven:
        lines = ", ".join(
            f"{gaps[i]:.6g} mm between {frames[i].name} and {frames[i + 1].name}"
            for i in uneven[:_NAMES]
        )
        return (
            f"{where}: gaps between slices are uneven: usually {usual:.6g} mm, but {lines}"
            f"{', …' if len(uneven) > _NAMES else ''}{end}"
        )
    aside = steps - gaps[:, None] * normal
    off = _lengths(aside - np.median(aside, axis=0))
    worst = int(np.argmax(off))
    return (
        f"{where}: slices are shifted unevenly: {frames[worst + 1].name} is {off[worst]:.4g} mm "
        f"beside where the others lead, more than tolerance={tolerance} mm{end}"
    )


def _geometry(
    frame: Frame, count: int, origin: Floats, vector: Floats, plane: tuple[Floats, Floats]
) -> Geometry:
    assert frame.spacing is not None
    length = float(np.linalg.norm(vector))
    across, down = plane
    return Geometry(
        (count, *frame.shape[:2]),
        (length, frame.spacing[0], frame.spacing[1]),
        origin.tolist(),
        np.column_stack([vector / length, down, across]),
        ("z", "y", "x"),
        world=World(("x", "y", "z"), "mm", "LPS"),
    )


def _with_leading(geometry: Geometry, key: str, values: tuple[Any, ...]) -> Geometry:
    """Add a leading axis: time where its values are even, else a plain one."""
    unit = KEYS[key]
    g = geometry
    steps = np.diff(np.array(values, np.float64)) if unit else np.zeros(1)
    even = bool((abs(steps - steps[0]) <= 1e-3 * steps[0]).all())
    if unit is None or not even or "t" in g.dims:
        # Numbers of time points without times: the axis is time, and its places are not known.
        unnamed = key.startswith("Temporal") or "c" in g.dims
        return Geometry(
            (len(values), *g.shape), g.spacing.tolist(), g.origin, g.direction,
            (None if unnamed else "c", *g.dims), world=g.world,
        )  # fmt: skip
    direction = np.zeros((4, 4))
    direction[:3, 1:], direction[3, 0] = g.direction, 1
    return Geometry(
        (len(values), *g.shape),
        [float(values[-1] - values[0]) / (len(values) - 1), *g.spacing],
        [*g.origin, float(values[0])],
        direction,
        ("t", *g.dims),
        world=World((*g.world.axes, "t"), (*g.unit, unit), g.frame),
    )


def _mixed(frames: Sequence[Frame], positions: Floats) -> list[Slice]:
    out = []
    for p in positions:
        before = min(int(np.floor(p + 1e-9)), len(frames) - 1)
        weight = float(p - before)
        if weight <= 1e-9:
            out.append(Slice(frames[before]))
        else:
            out.append(Slice(frames[before], frames[before + 1], weight))
    return out
