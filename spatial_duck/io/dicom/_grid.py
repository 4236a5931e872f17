"""The grid of image planes: their order along the normal, the line of their positions, its step.

This module reads no files. A regular shift between slices (gantry tilt) is kept as a shear of the
grid. Planes that lie on no grid raise an error that names the frames: missing slices, uneven steps,
shifts. If positions were only rounded, the message gives the tolerance that accepts them.

Formula: DICOM PS3.3 C.7.6.2.1.1, in LPS and mm: the centre of the pixel in row r and column c is
``position + orientation[:3] * spacing[1] * c + orientation[3:] * spacing[0] * r``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.io.dicom._frames import Frame

    Floats = NDArray[np.float64]

__all__ = [
    "MAX_NAMES",
    "Line",
    "check_same_plane",
    "find_lattice",
    "find_line",
    "group_by_plane",
    "name_frames",
    "plane_geometry",
    "plane_vectors",
]  # fmt: skip

#: Pixels by which frames of one grid may be rotated against each other, at a corner.
_MAX_ROTATION = 0.1
#: Most frames that a message names.
MAX_NAMES = 4
#: Part of a step by which rounded positions may deviate from it.
_ROUNDING = 0.1


class Line(NamedTuple):
    """Even positions along a line.

    Attributes
    ----------
    origin, step : ndarray, shape (3,)
        Position of the first slice, and vector to the next.
    numbers : ndarray, shape (n,)
        For each slice of the image the number of its frame: fractional between two frames, and NaN
        if there is none.
    """

    origin: Floats
    step: Floats
    numbers: Floats


def name_frames(frames: Sequence[Frame]) -> str:
    """Return the names of the first few frames."""
    names = [f.name for f in frames[:MAX_NAMES]]
    rest = len(frames) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest > 0 else "")


def plane_vectors(where: object, frame: Frame) -> tuple[Floats, Floats]:
    """Return the unit vectors along a row and down a column."""
    cosines = np.array(frame.orientation, np.float64).reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    if not (abs(lengths - 1) < 1e-3).all() or not abs(cosines[0] @ cosines[1]) < 1e-3:
        raise FormatError(
            f"{where}: ImageOrientationPatient of {frame.name} must be two orthogonal unit "
            f"vectors, got {list(frame.orientation or ())}"
        )
    return cosines[0], cosines[1]


def check_same_plane(where: object, frames: Sequence[Frame], tolerance: float) -> None:
    """Check that frames have one size, pixel spacing and orientation."""
    first = frames[0]
    plane_vectors(where, first)
    assert first.spacing is not None
    reach = max(first.shape[0] * first.spacing[0], first.shape[1] * first.spacing[1])
    limit = max(tolerance, _MAX_ROTATION * min(first.spacing)) / max(reach, 1e-9)
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
        # `where` takes single tags, and a size is two of them.
        advice = "Rows" if field == "shape" else tag
        raise FormatError(
            f"{where}: {what} in one series: {len(alike)} have {list(getattr(first, field))} "
            f"({name_frames(alike)}), {len(others)} have others, such as "
            f"{list(getattr(others[0], field))} ({name_frames(others)}); choose some with "
            f"where={{{advice!r}: ...}}"
        )


def group_by_plane(frames: Sequence[Frame], normal: Floats, tolerance: float) -> list[list[int]]:
    """Return the numbers of the frames in each plane, in order along the normal.

    For thin slices and small pixels the tolerance is reduced.
    """
    sizes = [size for f in frames for size in (f.thickness, *(f.spacing or ())) if size]
    tolerance = min(tolerance, 0.25 * min(sizes, default=np.inf))
    depth = np.array([f.position for f in frames]) @ normal
    groups: list[list[int]] = []
    for i in np.argsort(depth, kind="stable"):
        if groups and depth[i] - depth[groups[-1][0]] <= tolerance:
            groups[-1].append(int(i))
        else:
            groups.append([int(i)])
    return groups


def find_line(
    where: object,
    frames: Sequence[Frame],
    normal: Floats,
    *,
    tolerance: float,
    irregular: Literal["refuse", "resample"],
    step: float | None,
) -> Line:
    """Return the even positions of slices, given one frame for each in their order.

    Raises
    ------
    FormatError
        If they do not lie on a line, or their steps are uneven and `irregular` is "refuse".
    """
    if irregular not in ("refuse", "resample"):
        raise ValueError(f"irregular must be 'refuse' or 'resample', got {irregular!r}")
    positions = np.array([f.position for f in frames])
    n = len(positions)
    if n == 1:
        return Line(positions[0], normal * (frames[0].thickness or 1.0), np.zeros(1))
    numbers = np.arange(n, dtype=np.float64)
    fits = [
        (o, v, _largest_norm(o + numbers[:, None] * v - positions))
        for o, v in _candidate_lines(positions)
    ]
    if irregular == "refuse" or step is None:
        for origin, vector, off in fits:
            if off <= tolerance:
                return Line(origin, vector, numbers)
    if irregular == "refuse":
        raise FormatError(_describe_irregularity(where, frames, positions, normal, tolerance, fits))
    return _even_line(where, frames, positions, tolerance, step)


def find_lattice(
    where: object, frames: Sequence[Frame], normal: Floats, step: float | None, tolerance: float
) -> Line:
    """Return even positions that include those of the frames; some may have no frame.

    Parameters
    ----------
    where, frames, normal, tolerance
        As for `find_line`.
    step : float or None
        Distance of neighbouring positions in the header, if there is one.

    Raises
    ------
    FormatError
        If there are none.
    """
    positions = np.array([f.position for f in frames])
    if len(positions) == 1:
        return Line(positions[0], normal * (step or 1.0), np.zeros(1))
    depth = (positions - positions[0]) @ normal
    gaps = np.diff(depth)
    for size in (step, float(np.min(gaps))):
        if size is None or not size > 0:
            continue
        counts = np.round(depth / size)
        if (np.diff(counts) < 1).any():
            continue
        vector = (positions[-1] - positions[0]) / counts[-1]
        if _largest_norm(positions[0] + counts[:, None] * vector - positions) <= tolerance:
            numbers = np.full(int(counts[-1]) + 1, np.nan)
            numbers[counts.astype(int)] = np.arange(len(positions))
            return Line(positions[0], vector, numbers)
    raise FormatError(
        f"{where}: the frames of its segments are not at even steps: "
        f"{', '.join(f'{g:.6g}' for g in gaps[:MAX_NAMES])} mm"
        f"{' …' if len(gaps) > MAX_NAMES else ''} between {name_frames(frames)}; masks are not "
        "interpolated. Accept uneven ones with a larger tolerance= in mm"
    )


def _even_line(
    where: object, frames: Sequence[Frame], positions: Floats, tolerance: float, step: float | None
) -> Line:
    chord = positions[-1] - positions[0]
    length = float(np.linalg.norm(chord))
    along = (positions - positions[0]) @ chord / length
    off = np.linalg.norm(positions[0] + along[:, None] * (chord / length) - positions, axis=1)
    if float(np.max(off)) > tolerance:
        worst = int(np.argmax(off))
        raise FormatError(
            f"{where}: the slices do not lie on one line: {frames[worst].name} is "
            f"{off[worst]:.4g} mm beside it, more than the tolerance of {tolerance} mm; they cannot"
            " be resampled to even steps. Accept that with a larger tolerance= in mm"
        )
    size = float(np.median(np.diff(along))) if step is None else float(step)
    if not size > 0:
        raise ValueError(f"step must be positive, got {step!r}")
    targets = np.arange(int(np.floor(length / size + 1e-6)) + 1) * size
    numbers = np.interp(targets, along, np.arange(len(positions)))
    return Line(positions[0], chord / length * size, numbers)


def _largest_norm(vectors: Floats) -> float:
    return float(np.max(np.linalg.norm(vectors, axis=1)))


def _candidate_lines(positions: Floats) -> list[tuple[Floats, Floats]]:
    """Return origins and steps to try: from the first slice to the last, and by least squares."""
    n = len(positions)
    numbers = np.arange(n) - (n - 1) / 2
    slope = numbers @ positions / (numbers @ numbers)
    return [
        (positions[0], (positions[-1] - positions[0]) / (n - 1)),
        (positions.mean(axis=0) - slope * (n - 1) / 2, slope),
    ]


def _describe_irregularity(
    where: object,
    frames: Sequence[Frame],
    positions: Floats,
    normal: Floats,
    tolerance: float,
    fits: Sequence[tuple[Floats, Floats, float]],
) -> str:
    """Return a message on why slices lie on no grid."""
    steps = np.diff(positions, axis=0)
    gaps: Floats = np.asarray(steps @ normal)
    usual = float(np.median(gaps))
    smallest = float(np.min(gaps))
    times = gaps / smallest
    whole = np.round(times)
    end = (
        "; interpolate to even steps with irregular='resample', or choose some with "
        "where={tag: value}"
    )
    off = min(fit[2] for fit in fits)
    if off <= _ROUNDING * abs(usual):
        size = min(fits, key=lambda fit: fit[2])[1]
        end = (
            f". They are at most {off:.3g} mm from even steps of {np.linalg.norm(size):.6g} mm, as "
            f"rounded positions are: accept them with tolerance={_rounded_up(off)}{end}"
        )
    uneven = [i for i in range(len(gaps)) if abs(gaps[i] - usual) > tolerance]
    if float(np.max(whole)) > 1 and (abs(times - whole) * smallest <= 2 * tolerance).all():
        holes = [i for i in range(len(gaps)) if whole[i] > 1]
        missing = int(whole.sum() - len(gaps))
        lines = ", ".join(
            f"{int(whole[i]) - 1} between {frames[i].name} and {frames[i + 1].name}"
            for i in holes[:MAX_NAMES]
        )
        return (
            f"{where}: missing slices at {smallest:.6g} mm steps: {missing}, {lines}"
            f"{', …' if len(holes) > MAX_NAMES else ''}{end}"
        )
    if uneven:
        lines = ", ".join(
            f"{gaps[i]:.6g} mm between {frames[i].name} and {frames[i + 1].name}"
            for i in uneven[:MAX_NAMES]
        )
        return (
            f"{where}: gaps between slices are uneven: usually {usual:.6g} mm, but {lines}"
            f"{', …' if len(uneven) > MAX_NAMES else ''}{end}"
        )
    aside = steps - gaps[:, None] * normal
    beside = np.linalg.norm(aside - np.median(aside, axis=0), axis=1)
    worst = int(np.argmax(beside))
    return (
        f"{where}: slices are shifted unevenly: {frames[worst + 1].name} is {beside[worst]:.4g} mm "
        f"beside the line of the others, more than the tolerance of {tolerance} mm{end}"
    )


def _rounded_up(value: float) -> str:
    """Return a number rounded up to two digits, as text.

    Examples
    --------
    >>> _rounded_up(0.0500001), _rounded_up(0.12)
    ('0.051', '0.13')
    """
    digits = 1 - math.floor(math.log10(value))
    return f"{math.floor(value * 10**digits + 1) / 10**digits:.{max(digits, 0)}f}"


def plane_geometry(frame: Frame, line: Line, plane: tuple[Floats, Floats]) -> Geometry:
    """Return the geometry of slices: dims z, y, x in LPS and mm."""
    assert frame.spacing is not None
    length = float(np.linalg.norm(line.step))
    across, down = plane
    return Geometry(
        (len(line.numbers), *frame.shape[:2]),
        (length, frame.spacing[0], frame.spacing[1]),
        line.origin.tolist(),
        np.column_stack([line.step / length, down, across]),
        ("z", "y", "x"),
        world=World(("x", "y", "z"), "mm", "LPS"),
    )
