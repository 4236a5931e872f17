"""What tells apart the frames that lie in one place: the axes before z.

Rules are tried in this order, and the first that fits all places is used:

1. tags with the same values in every place, one or several of which there is each combination;
2. DimensionIndexValues of enhanced files;
3. b-value and gradient direction, repeats counted in the order in which they were made;
4. ranks of times within each place, where the times differ from slice to slice;
5. ranks of InstanceNumber, where volumes (or places) follow each other without overlap.

Each axis is named by the element that it goes by, and says so.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from spatial_duck.io.dicom._elements import is_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spatial_duck.io.dicom._frames import Frame

__all__ = ["TAGS", "Axis", "tell_apart"]

#: Tags by which frames in one place may differ, the likeliest first, and the unit of those that
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
#: Times whose ranks tell frames apart; the last may be those of a later computation.
_TIMES = ("TriggerTime", "FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime",
          "ContentTime")  # fmt: skip
#: Times that start again at each heartbeat, so that those of places do not follow each other.
_RELATIVE = ("TriggerTime",)
_MOST_AXES = 3

Places = list[list[int]]


class Axis(NamedTuple):
    """An axis before z.

    Attributes
    ----------
    keyword : str
        The element that it goes by.
    values : tuple
        Of that element, in order.
    unit : str or None
        Of values that are times since one moment.
    how : str
        How the frames were told apart, for the reader.
    """

    keyword: str
    values: tuple[Any, ...]
    unit: str | None
    how: str


class Told(NamedTuple):
    """Axes, and the frames of each place in their order.

    Attributes
    ----------
    axes : tuple of Axis
        Slowest first.
    places : list of list of int
        Numbers of the frames, place by place.
    """

    axes: tuple[Axis, ...]
    places: Places


def tell_apart(frames: Sequence[Frame], places: Places) -> Told | None:
    """Find the axes by which the frames of each place differ, and sort them.

    Parameters
    ----------
    frames : sequence of Frame
        All of them.
    places : list of list of int
        Numbers of the frames that lie in one place, equally many in each.

    Returns
    -------
    Told or None
        None where no rule fits.
    """
    for rule in (_by_tags, _by_dimensions, _by_diffusion, _by_times, _by_instance):
        told = rule(frames, places)
        if told is not None:
            return told
    return None


def _complete(
    places: Places, values: Sequence[Callable[[int], Any]]
) -> list[tuple[Any, ...]] | None:
    """Return the sorted values of each key where all places have each combination of them."""
    found = []
    for value in values:
        kinds = {value(i) for place in places for i in place}
        if None in kinds or len(kinds) < 2:
            return None
        try:
            found.append(tuple(sorted(kinds)))
        except TypeError:
            return None
    if math.prod(map(len, found)) != len(places[0]):
        return None
    wanted = set(itertools.product(*found))
    if all({tuple(v(i) for v in values) for i in place} == wanted for place in places):
        return found
    return None


def _sorted(places: Places, rank: Callable[[int], Any]) -> Places:
    return [sorted(place, key=rank) for place in places]


def _fact(frames: Sequence[Frame], keyword: str) -> Callable[[int], Any]:
    return lambda i: frames[i].facts.get(keyword)


def _by_tags(frames: Sequence[Frame], places: Places) -> Told | None:
    count = len(places[0])
    differ = []
    for keyword in TAGS:
        kinds = {frames[i].facts.get(keyword) for i in places[0]}
        if None not in kinds and 1 < len(kinds) <= count:
            differ.append(keyword)
    for size in range(1, _MOST_AXES + 1):
        for names in itertools.combinations(differ, size):
            facts = [_fact(frames, name) for name in names]
            found = _complete(places, facts)
            if found is None:
                continue
            axes = tuple(
                Axis(name, values, TAGS[name], f"values of {name}, the same in each place")
                for name, values in zip(names, found, strict=True)
            )
            return Told(axes, _sorted(places, lambda i, f=facts: tuple(v(i) for v in f)))  # type: ignore[misc]
    return None


def _size(value: Any) -> int:
    return len(value) if is_many(value) else 0


def _by_dimensions(frames: Sequence[Frame], places: Places) -> Told | None:
    """Go by the indices of enhanced files, in the order of the file's own dimensions."""
    sizes = {_size(f.facts.get("DimensionIndexValues")) for f in frames}
    count = sizes.pop()
    if sizes or not count:
        return None

    def index(k: int) -> Callable[[int], Any]:
        return lambda i: frames[i].facts["DimensionIndexValues"][k]

    differ = [k for k in range(count) if any(len(set(map(index(k), p))) > 1 for p in places)]
    if not differ:
        return None
    pointers = frames[places[0][0]].facts.get("DimensionPointers") or ()

    def name(k: int) -> str:
        return pointers[k] if k < len(pointers) else "DimensionIndexValues"

    how = "DimensionIndexValues"
    found = _complete(places, [index(k) for k in differ])
    if found is not None and len(differ) <= _MOST_AXES:
        axes = tuple(
            Axis(name(k), values, None, f"{how} of {name(k)}")
            for k, values in zip(differ, found, strict=True)
        )
        return Told(axes, _sorted(places, lambda i: tuple(index(k)(i) for k in differ)))
    joined = _complete(places, [lambda i: tuple(index(k)(i) for k in differ)])
    if joined is None:
        return None
    axis = Axis("DimensionIndexValues", joined[0], None, f"{how} of {[name(k) for k in differ]}")
    return Told((axis,), _sorted(places, lambda i: tuple(index(k)(i) for k in differ)))


def _made(frames: Sequence[Frame], i: int) -> tuple[Any, ...]:
    """Return what sorts frames in the order in which they were made."""
    frame = frames[i]
    return (frame.facts.get("InstanceNumber") or 0, frame.number or 0, frame.path.name)


def _by_diffusion(frames: Sequence[Frame], places: Places) -> Told | None:
    def weighting(i: int) -> tuple[Any, ...] | None:
        facts = frames[i].facts
        b = facts.get("DiffusionBValue")
        way = facts.get("DiffusionGradientOrientation")
        kind = facts.get("DiffusionDirectionality")
        return None if b is None else (b, way if is_many(way) else None, kind)

    keys: dict[int, tuple[Any, ...]] = {}
    for place in places:
        seen: dict[Any, int] = {}
        for i in sorted(place, key=lambda i: _made(frames, i)):
            key = weighting(i)
            if key is None:
                return None
            seen[key] = seen.get(key, 0) + 1
            keys[i] = (key, seen[key])
    wanted = {keys[i] for i in places[0]}
    if len({key for key, _ in wanted}) < 2 or any({keys[i] for i in p} != wanted for p in places):
        return None
    first = min(places, key=lambda p: min(_made(frames, i) for i in p))
    order = {keys[i]: k for k, i in enumerate(sorted(first, key=lambda i: _made(frames, i)))}
    sorted_places = _sorted(places, lambda i: order[keys[i]])
    values = tuple(frames[i].facts["DiffusionBValue"] for i in sorted_places[0])
    how = "b-value and gradient direction, in the order in which they were made"
    return Told((Axis("DiffusionBValue", values, None, how),), sorted_places)


def _by_times(frames: Sequence[Frame], places: Places) -> Told | None:
    for keyword in _TIMES:
        told = _by_rank(frames, places, keyword, separate=keyword not in _RELATIVE)
        if told is not None:
            return told
    return None


def _by_instance(frames: Sequence[Frame], places: Places) -> Told | None:
    return _by_rank(frames, places, "InstanceNumber", separate=True)


def _by_rank(
    frames: Sequence[Frame], places: Places, keyword: str, *, separate: bool
) -> Told | None:
    """Go by the rank of an element within each place."""
    value = _fact(frames, keyword)
    kinds = {type(value(i)) for place in places for i in place}
    if type(None) in kinds or tuple in kinds or (str in kinds and len(kinds) > 1):
        return None
    if any(len({value(i) for i in place}) != len(place) for place in places):
        return None
    ranked = _sorted(places, value)
    volumes = list(zip(*ranked, strict=True))
    if separate and not (_follow(value, volumes) or _follow(value, _sorted_by(value, ranked))):
        return None
    values = tuple(value(i) for i in ranked[0])
    how = f"rank of {keyword} within each place; values of the first slice"
    return Told((Axis(keyword, values, None, how),), ranked)


def _sorted_by(value: Callable[[int], Any], places: Places) -> list[list[int]]:
    return sorted(places, key=lambda place: value(place[0]))


def _follow(value: Callable[[int], Any], groups: Sequence[Iterable[int]]) -> bool:
    """Whether each group begins after the one before it has ended."""
    ends = [(min(map(value, g)), max(map(value, g))) for g in map(list, groups)]
    return all(a[1] < b[0] for a, b in itertools.pairwise(ends))
