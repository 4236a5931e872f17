"""The axes before z: elements by which the frames at one position differ.

Rules are tried in this order, and the first that fits all positions is used:

1. tags that have the same values at every position, with each combination if there are several;
2. DimensionIndexValues of enhanced files;
3. b-value and gradient direction, repeats counted in the order of their creation;
4. ranks of times at each position, if the times differ from slice to slice;
5. ranks of InstanceNumber, if volumes (or positions) follow each other without overlap.

Each axis has the name of the element that its frames are sorted by.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from spatial_duck.io.dicom._elements import is_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spatial_duck.io.dicom._frames import Frame

__all__ = ["TAGS", "Axis", "find_axes"]

#: Tags by which frames at one position may differ, the likeliest first, and the unit of those that
#: are times.
TAGS: dict[str, str | None] = {
    "TemporalPositionTimeOffset": "s",
    "TriggerTime": "ms",
    "FrameReferenceTime": "ms",
    "NominalCardiacTriggerDelayTime": "ms",
    "FrameTime": "ms",
    "TemporalPositionIdentifier": None,
    "TemporalPositionIndex": None,
    "TimeSlotVector": None,
    "TimeSliceVector": None,
    "PhaseVector": None,
    "RRIntervalVector": None,
    "EnergyWindowVector": None,
    "DetectorVector": None,
    "EchoNumbers": None,
    "EchoTime": None,
    "EffectiveEchoTime": None,
    "DiffusionBValue": None,
    "ComplexImageComponent": None,
    "ImageType": None,
    "FrameType": None,
    "StackID": None,
    "AcquisitionNumber": None,
    "ASLContext": None,
    "PhaseNumber": None,
}
#: Times by whose ranks frames are sorted; the last may be those of a later computation.
_TIMES = ("TriggerTime", "FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime",
          "ContentTime")  # fmt: skip
#: Times that start again at each heartbeat, so that those of volumes overlap.
_RELATIVE = ("TriggerTime",)
_MAX_AXES = 3

Groups = list[list[int]]


class Axis(NamedTuple):
    """An axis before z.

    Attributes
    ----------
    keyword : str
        The element that its frames are sorted by.
    values : tuple
        Values of that element, in order.
    unit : str or None
        Unit, if the values are times since one moment.
    rule : str
        Description of the rule by which the frames were sorted.
    """

    keyword: str
    values: tuple[Any, ...]
    unit: str | None
    rule: str


class SortedFrames(NamedTuple):
    """Axes, and the frames at each position in the order of the axes.

    Attributes
    ----------
    axes : tuple of Axis
        The axes, slowest first.
    groups : list of list of int
        For each position, the numbers of its frames.
    """

    axes: tuple[Axis, ...]
    groups: Groups


def find_axes(frames: Sequence[Frame], groups: Groups) -> SortedFrames | None:
    """Return the axes by which the frames at each position differ, with the frames sorted.

    Parameters
    ----------
    frames : sequence of Frame
        All frames.
    groups : list of list of int
        For each position, the numbers of its frames, equally many at each.

    Returns
    -------
    SortedFrames or None
        None if no rule fits.
    """
    for rule in (_by_tags, _by_dimensions, _by_diffusion, _by_times, _by_instance):
        found_axes = rule(frames, groups)
        if found_axes is not None:
            return found_axes
    return None


def _complete(
    groups: Groups, values: Sequence[Callable[[int], Any]]
) -> list[tuple[Any, ...]] | None:
    """Return the sorted values of each key if every position has each combination; else None."""
    found = []
    for value in values:
        kinds = {value(i) for group in groups for i in group}
        if None in kinds or len(kinds) < 2:
            return None
        try:
            found.append(tuple(sorted(kinds)))
        except TypeError:
            return None
    if math.prod(map(len, found)) != len(groups[0]):
        return None
    wanted = set(itertools.product(*found))
    if all({tuple(v(i) for v in values) for i in group} == wanted for group in groups):
        return found
    return None


def _sort_groups(groups: Groups, rank: Callable[[int], Any]) -> Groups:
    return [sorted(group, key=rank) for group in groups]


def _element_getter(frames: Sequence[Frame], keyword: str) -> Callable[[int], Any]:
    return lambda i: frames[i].elements.get(keyword)


def _tuple_of(getters: Sequence[Callable[[int], Any]]) -> Callable[[int], Any]:
    return lambda i: tuple(get(i) for get in getters)


def _by_tags(frames: Sequence[Frame], groups: Groups) -> SortedFrames | None:
    count = len(groups[0])
    differ = []
    for keyword in TAGS:
        kinds = {frames[i].elements.get(keyword) for i in groups[0]}
        if None not in kinds and 1 < len(kinds) <= count:
            differ.append(keyword)
    for size in range(1, _MAX_AXES + 1):
        for names in itertools.combinations(differ, size):
            getters = [_element_getter(frames, name) for name in names]
            found = _complete(groups, getters)
            if found is None:
                continue
            axes = tuple(
                Axis(name, values, TAGS[name], f"values of {name}, the same at each position")
                for name, values in zip(names, found, strict=True)
            )
            return SortedFrames(axes, _sort_groups(groups, _tuple_of(getters)))
    return None


def _size(value: Any) -> int:
    return len(value) if is_many(value) else 0


def _by_dimensions(frames: Sequence[Frame], groups: Groups) -> SortedFrames | None:
    """Sort by the indices of enhanced files, in the order of the file's dimensions."""
    sizes = {_size(f.elements.get("DimensionIndexValues")) for f in frames}
    count = sizes.pop()
    if sizes or not count:
        return None

    def index(k: int) -> Callable[[int], Any]:
        return lambda i: frames[i].elements["DimensionIndexValues"][k]

    differ = [k for k in range(count) if any(len(set(map(index(k), p))) > 1 for p in groups)]
    if not differ:
        return None
    pointers = frames[groups[0][0]].elements.get("DimensionPointers") or ()

    def name(k: int) -> str:
        return pointers[k] if k < len(pointers) else "DimensionIndexValues"

    rule = "DimensionIndexValues"
    found = _complete(groups, [index(k) for k in differ])
    if found is not None and len(differ) <= _MAX_AXES:
        axes = tuple(
            Axis(name(k), values, None, f"{rule} of {name(k)}")
            for k, values in zip(differ, found, strict=True)
        )
        return SortedFrames(
            axes, _sort_groups(groups, lambda i: tuple(index(k)(i) for k in differ))
        )
    joined = _complete(groups, [lambda i: tuple(index(k)(i) for k in differ)])
    if joined is None:
        return None
    axis = Axis("DimensionIndexValues", joined[0], None, f"{rule} of {[name(k) for k in differ]}")
    return SortedFrames((axis,), _sort_groups(groups, lambda i: tuple(index(k)(i) for k in differ)))


def _creation_order(frames: Sequence[Frame], i: int) -> tuple[Any, ...]:
    """Return a key that sorts frames in the order of their creation."""
    frame = frames[i]
    return (frame.elements.get("InstanceNumber") or 0, frame.number or 0, frame.path.name)


def _by_diffusion(frames: Sequence[Frame], groups: Groups) -> SortedFrames | None:
    def weighting(i: int) -> tuple[Any, ...] | None:
        elements = frames[i].elements
        b = elements.get("DiffusionBValue")
        way = elements.get("DiffusionGradientOrientation")
        kind = elements.get("DiffusionDirectionality")
        return None if b is None else (b, way if is_many(way) else None, kind)

    keys: dict[int, tuple[Any, ...]] = {}
    for group in groups:
        seen: dict[Any, int] = {}
        for i in sorted(group, key=lambda i: _creation_order(frames, i)):
            key = weighting(i)
            if key is None:
                return None
            seen[key] = seen.get(key, 0) + 1
            keys[i] = (key, seen[key])
    wanted = {keys[i] for i in groups[0]}
    if len({key for key, _ in wanted}) < 2 or any({keys[i] for i in p} != wanted for p in groups):
        return None
    first = min(groups, key=lambda p: min(_creation_order(frames, i) for i in p))
    order = {
        keys[i]: k for k, i in enumerate(sorted(first, key=lambda i: _creation_order(frames, i)))
    }
    sorted_groups = _sort_groups(groups, lambda i: order[keys[i]])
    values = tuple(frames[i].elements["DiffusionBValue"] for i in sorted_groups[0])
    rule = "b-value and gradient direction, in the order of their creation"
    return SortedFrames((Axis("DiffusionBValue", values, None, rule),), sorted_groups)


def _by_times(frames: Sequence[Frame], groups: Groups) -> SortedFrames | None:
    for keyword in _TIMES:
        found_axes = _by_rank(frames, groups, keyword, separate=keyword not in _RELATIVE)
        if found_axes is not None:
            return found_axes
    return None


def _by_instance(frames: Sequence[Frame], groups: Groups) -> SortedFrames | None:
    return _by_rank(frames, groups, "InstanceNumber", separate=True)


def _by_rank(
    frames: Sequence[Frame], groups: Groups, keyword: str, *, separate: bool
) -> SortedFrames | None:
    """Sort by the rank of an element at each position."""
    value = _element_getter(frames, keyword)
    kinds = {type(value(i)) for group in groups for i in group}
    if type(None) in kinds or tuple in kinds or (str in kinds and len(kinds) > 1):
        return None
    if any(len({value(i) for i in group}) != len(group) for group in groups):
        return None
    ranked = _sort_groups(groups, value)
    volumes = list(zip(*ranked, strict=True))
    if separate and not (
        _are_consecutive(value, volumes) or _are_consecutive(value, _sort_by_first(value, ranked))
    ):
        return None
    values = tuple(value(i) for i in ranked[0])
    rule = f"rank of {keyword} at each position; values of the first slice"
    return SortedFrames((Axis(keyword, values, None, rule),), ranked)


def _sort_by_first(value: Callable[[int], Any], groups: Groups) -> list[list[int]]:
    return sorted(groups, key=lambda group: value(group[0]))


def _are_consecutive(value: Callable[[int], Any], groups: Sequence[Iterable[int]]) -> bool:
    """Whether the values of each group are greater than those of the one before."""
    ends = [(min(map(value, g)), max(map(value, g))) for g in map(list, groups)]
    return all(a[1] < b[0] for a, b in itertools.pairwise(ends))
