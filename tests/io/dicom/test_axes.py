"""Axes before z: what tells apart the frames that lie in one place, by each of the rules."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FormatError
from spatial_duck.io.dicom._axes import find_axes
from spatial_duck.io.dicom._frames import Frame
from spatial_duck.io.dicom._values import PixelFormat, Scale

if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTIONS = [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.6, 0.8, 0.0)]


def make_frame(volume: int, place: int, elements: dict[str, Any]) -> Frame:
    """Return a frame whose name says where it belongs."""
    return Frame(
        Path(f"{volume}_{place}.dcm"), None, None, (4, 4), (0.0, 0.0, 3.0 * place),
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (1.0, 1.0), 3.0, PixelFormat("i2", 0, 1), Scale(), elements,
    )  # fmt: skip


def elements_by(rule: str, t: int, k: int, count: int, places: int) -> dict[str, Any]:
    """Return what a scanner says of volume t at place k, where one rule tells volumes apart."""
    number = t * places + k + 1
    if rule == "tag":
        return {"EchoTime": 5.0 + t, "TriggerTime": 7.0 * k}
    if rule == "dimensions":
        return {
            "DimensionIndexValues": (1, k + 1, t + 1),
            "DimensionPointers": ("StackID", "InStackPositionNumber", "EffectiveEchoTime"),
        }
    if rule == "diffusion":
        b = 1000.0 * (t % 2)
        way = DIRECTIONS[t % 4] if b else None
        return {"DiffusionBValue": b, "DiffusionGradientOrientation": way, "InstanceNumber": number}
    if rule == "triggers":
        return {"TriggerTime": 40.0 * t + 0.5 * k}
    if rule == "clock":
        return {"AcquisitionTime": f"{100000 + number:06d}.5"}
    if rule == "slice by slice":
        return {"InstanceNumber": k * count + t + 1}
    return {"InstanceNumber": number}


RULES = ("tag", "dimensions", "diffusion", "triggers", "clock", "slice by slice", "instance")
NAMES = {"tag": "EchoTime", "dimensions": "EffectiveEchoTime", "diffusion": "DiffusionBValue",
         "triggers": "TriggerTime", "clock": "AcquisitionTime"}  # fmt: skip


@given(
    rule=st.sampled_from(RULES), count=st.integers(2, 9), places=st.integers(1, 5),
    random=st.randoms(use_true_random=False),
)  # fmt: skip
def test_each_rule_finds_the_volumes(rule: str, count: int, places: int, random: Any) -> None:
    pairs = list(itertools.product(range(count), range(places)))
    random.shuffle(pairs)
    frames = [make_frame(t, k, elements_by(rule, t, k, count, places)) for t, k in pairs]
    piles = [[i for i, (_, k) in enumerate(pairs) if k == place] for place in range(places)]
    told = find_axes(frames, piles)
    assert told is not None
    (axis,) = told.axes
    assert axis.keyword == NAMES.get(rule, "InstanceNumber")
    assert len(axis.values) == count
    for pile in told.groups:
        assert [pairs[i][0] for i in pile] == list(range(count))


@given(
    sizes=st.lists(st.integers(2, 4), min_size=2, max_size=3), places=st.integers(1, 3),
    random=st.randoms(use_true_random=False), indexed=st.booleans(),
)  # fmt: skip
def test_each_combination_of_several_elements(
    sizes: list[int], places: int, random: Any, indexed: bool
) -> None:
    names = ("EchoNumbers", "DiffusionBValue", "ComplexImageComponent")[: len(sizes)]
    all_of = list(itertools.product(*map(range, sizes), range(places)))
    random.shuffle(all_of)
    frames = []
    for *index, k in all_of:
        elements: dict[str, Any] = dict(zip(names, index, strict=True))
        if indexed:
            elements = {"DimensionIndexValues": (k + 1, *index), "DimensionPointers": ("P", *names)}
        frames.append(make_frame(0, k, elements))
    piles = [[i for i, row in enumerate(all_of) if row[-1] == place] for place in range(places)]
    told = find_axes(frames, piles)
    assert told is not None
    assert [len(axis.values) for axis in told.axes] == sizes
    for pile in told.groups:
        assert [all_of[i][:-1] for i in pile] == list(itertools.product(*map(range, sizes)))


@given(count=st.integers(2, 5), places=st.integers(2, 4), data=st.data())
def test_numbers_in_no_order_are_no_axis(count: int, places: int, data: st.DataObject) -> None:
    """Instance numbers that interleave volumes and places at once say nothing."""
    pairs = list(itertools.product(range(count), range(places)))
    numbers = data.draw(st.permutations(range(1, len(pairs) + 1)))
    frames = [
        make_frame(t, k, {"InstanceNumber": n}) for (t, k), n in zip(pairs, numbers, strict=True)
    ]
    piles = [[i for i, (_, k) in enumerate(pairs) if k == place] for place in range(places)]
    told = find_axes(frames, piles)
    by_volume = sorted(range(len(pairs)), key=lambda i: numbers[i])
    blocks = [
        [pairs[i][1] for i in by_volume[j : j + places]] for j in range(0, len(pairs), places)
    ]
    rows = [[pairs[i][1] for i in by_volume[j : j + count]] for j in range(0, len(pairs), count)]
    ordered = all(len(set(b)) == places for b in blocks) or all(len(set(r)) == 1 for r in rows)
    assert (told is not None) == ordered


def test_repeats_of_one_weighting_keep_their_order(
    tmp_path: Path, write_slice: Callable[..., Any]
) -> None:
    weights = [(0.0, None), (1000.0, 0), (0.0, None), (1000.0, 1), (1000.0, 0)]
    for (t, (b, way)), k in itertools.product(enumerate(weights), range(3)):
        elements = {"DiffusionBValue": b, "InstanceNumber": 3 * t + k + 1}
        if way is not None:
            elements["DiffusionGradientOrientation"] = list(DIRECTIONS[way])
        write_slice(tmp_path / f"{9 - t}{k}.dcm", np.full((4, 4), t, "i2"), 3.0 * k, **elements)
    image = sd.read(tmp_path)
    assert np.asarray(image)[:, :, 0, 0].tolist() == [[t] * 3 for t in range(5)]
    assert list(image.coords["b_value"]) == [0, 1000, 0, 1000, 1000]
    assert image.coords["b_value"].unit == "s/mm^2"
    directions = np.asarray(image.coords["gradient_direction"])
    assert np.isnan(directions[[0, 2]]).all()
    assert directions[[1, 3, 4]].tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert list(image[1:4].coords["b_value"]) == [1000, 0, 1000]


@pytest.mark.parametrize("maker", ["SIEMENS", "Philips", "GE"])
def test_private_diffusion_weighting(
    maker: str, tmp_path: Path, write_slice: Callable[..., Any]
) -> None:
    import pydicom

    for t, k in itertools.product(range(3), range(2)):
        path = tmp_path / f"{t}{k}.dcm"
        d = write_slice(path, np.full((4, 4), t, "i2"), 3.0 * k, InstanceNumber=2 * t + k + 1)
        b, way = 1000 * (t > 0), list(DIRECTIONS[t])
        if maker == "SIEMENS":
            block = d.private_block(0x0019, "SIEMENS MR HEADER", create=True)
            block.add_new(0x0C, "IS", b)
            block.add_new(0x0E, "FD", way)
        elif maker == "Philips":
            d.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(3, "FL", b)
            block = d.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
            for element, value in zip((0xB0, 0xB1, 0xB2), way, strict=True):
                block.add_new(element, "FL", value)
        else:
            block = d.private_block(0x0043, "GEMS_PARM_01", create=True)
            block.add_new(0x39, "IS", [1_000_000_000 + b, 8, 0, 0])
        pydicom.dcmwrite(path, d, enforce_file_format=True)
    image = sd.read(tmp_path)
    assert np.asarray(image)[:, :, 0, 0].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert list(image.coords["b_value"]) == [0, 1000, 1000]
    if maker != "GE":
        assert np.allclose(image.coords["gradient_direction"], DIRECTIONS[:3])


def test_places_with_fewer_frames_are_named(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    for t, k in itertools.product(range(3), range(3)):
        if (t, k) != (2, 1):
            write_slice(tmp_path / f"{t}{k}.dcm", pixels, 3.0 * k, InstanceNumber=3 * t + k + 1)
    with pytest.raises(FormatError, match=r"not all positions have equally many \(2 at 01.dcm"):
        sd.read(tmp_path)


def test_the_rule_that_was_used_is_said(tmp_path: Path, write_slice: Callable[..., Any]) -> None:
    for t, k in itertools.product(range(4), range(3)):
        write_slice(
            tmp_path / f"{t}{k}.dcm",
            np.full((4, 4), t, "i2"),
            3.0 * k,
            TriggerTime=40.0 * t + k / 2,
        )
    times = sd.read(tmp_path).coords["trigger_time"]
    assert (list(times), times.unit) == ([0, 40, 80, 120], "ms")
    assert times.attrs["sorted_by"].startswith("rank of TriggerTime at each position")


@pytest.mark.parametrize("even", [True, False])
def test_film_goes_along_time(even: bool, tmp_path: Path, write_slice: Callable[..., Any]) -> None:
    from pydicom.tag import Tag

    elements: dict[str, Any] = {"FrameTime": 40, "FrameIncrementPointer": Tag("FrameTime")}
    if not even:
        elements = {
            "FrameTimeVector": [0, 40, 41], "FrameIncrementPointer": Tag("FrameTimeVector")
        }  # fmt: skip
    gone = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient"))
    values = np.arange(36, dtype="u1").reshape(3, 3, 4)
    write_slice(tmp_path / "us.dcm", values, **(gone | elements))
    image = sd.read(tmp_path / "us.dcm")
    assert np.array_equal(np.asarray(image), values)
    assert list(image.coords["frame_time"]) == ([0, 40, 80] if even else [0, 40, 81])
    if even:
        assert (image.dims, image.spacing[0], image.world.units[-1]) == (("t", "y", "x"), 40, "ms")


def test_labels_and_controls_of_philips(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    """Triggers differ from slice to slice, and times repeat: private elements tell them apart."""
    wanted = list(itertools.product(range(3), ("CONTROL", "LABEL"), range(2), range(2)))
    for n, (t, context, phase, k) in enumerate(wanted):
        name = tmp_path / f"{n}.dcm"
        trigger = 300.0 + 250 * phase + 40 * k
        d = write_slice(
            name, pixels + n, 3.0 * k, TemporalPositionIdentifier=t + 1, TriggerTime=trigger,
            InstanceNumber=len(wanted) - n,
        )  # fmt: skip
        block = d.private_block(0x2001, "Philips Imaging DD 001", create=True)
        block.add_new(0x08, "IS", phase + 1)
        block = d.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        block.add_new(0x29, "CS", context)
        d.save_as(name, enforce_file_format=True)
    image = sd.read(tmp_path)
    assert image.shape[:4] == (3, 2, 2, 2)
    assert list(image.coords["asl_context"]) == ["CONTROL", "LABEL"]
    assert list(image.coords["phase_number"]) == [1, 2]
    assert list(image.coords["temporal_position_identifier"]) == [1, 2, 3]
    assert np.asarray(image)[..., 0, 0].ravel().tolist() == [
        int(pixels[0, 0]) + n for n in range(len(wanted))
    ]
