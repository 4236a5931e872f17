"""The grid of slices: rounded positions, one position with a step, offsets, places left empty."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FormatError
from spatial_duck.io.dicom._frames import Frame
from spatial_duck.io.dicom._stack import stack_frames, stack_segments
from spatial_duck.io.dicom._values import PixelFormat, Scale

if TYPE_CHECKING:
    from collections.abc import Callable

TURN = np.linalg.qr(np.array([[1, 2, 0.3], [0.5, -1, 2], [0.1, 0.4, 1.0]]))[0]
PLANES = [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), tuple(TURN[:2].ravel().tolist())]


def make_frame(position: Any, plane: tuple[float, ...], **elements: Any) -> Frame:
    name = Path("_".join(f"{v:.3f}" for v in position))
    place = tuple(float(v) for v in position)
    stored = PixelFormat("i2", 0, 1)
    return Frame(
        name, None, None, (4, 4), place, plane, (1.0, 1.0), None, stored, Scale(), elements
    )


def normal_of(plane: tuple[float, ...]) -> Any:
    return np.cross(plane[:3], plane[3:])


@given(
    count=st.integers(3, 40), step=st.floats(0.5, 6), digits=st.integers(0, 2),
    plane=st.sampled_from(PLANES), shear=st.floats(-0.4, 0.4),
)  # fmt: skip
def test_message_names_the_tolerance_that_takes_rounded_positions(
    count: int, step: float, digits: int, plane: tuple[float, ...], shear: float
) -> None:
    along = normal_of(plane) * step + np.array(plane[3:]) * shear * step
    exact = np.arange(count)[:, None] * along + [10.0, -20.0, 5.0]
    frames = [make_frame(p, plane) for p in np.round(exact, digits)]
    try:
        stack = stack_frames("folder", frames)
    except FormatError as error:
        said = re.search(r"tolerance=([0-9.]*[0-9])", str(error))
        if said is None:  # then they are farther from even steps than rounding may bring them
            assert step < 10 * 0.5 * 3**0.5 * 10**-digits * 2
            return
        stack = stack_frames("folder", frames, tolerance=float(said[1]))
    found = stack.geometry.index_to_physical([(k, 0, 0) for k in range(count)])
    assert abs(found - exact).max() <= 3 * 10**-digits


@given(
    present=st.sets(st.tuples(st.integers(1, 3), st.integers(0, 7)), min_size=2),
    plane=st.sampled_from(PLANES), random=st.randoms(use_true_random=False),
    step=st.floats(0.3, 5),
)  # fmt: skip
def test_absent_pairs_of_segment_and_place_are_empty(
    present: set[tuple[int, int]], plane: tuple[float, ...], random: Any, step: float
) -> None:
    pairs = sorted(present)
    random.shuffle(pairs)
    normal = normal_of(plane)
    frames = [
        make_frame(normal * step * z, plane, ReferencedSegmentNumber=s)._replace(thickness=step)
        for s, z in pairs
    ]
    stack = stack_segments("a.dcm", frames, [1, 2, 3])
    first, last = min(z for _, z in pairs), max(z for _, z in pairs)
    assert stack.geometry.shape[:2] == (3, last - first + 1)
    grid = np.array([s.frame is not None for s in stack.slices]).reshape(stack.geometry.shape[:2])
    assert {(s + 1, z + first) for s, z in np.argwhere(grid)} == present
    for (s, z), item in zip(np.ndindex(grid.shape), stack.slices, strict=True):
        if item.frame is not None:
            assert item.other is None
            assert item.frame.elements["ReferencedSegmentNumber"] == s + 1
            assert np.allclose(
                stack.geometry.index_to_physical((s, z, 0, 0)), item.frame.position, atol=1e-6
            )


def test_segments_are_not_interpolated_over_uneven_places() -> None:
    plane = PLANES[0]
    frames = [
        make_frame((0, 0, z), plane, ReferencedSegmentNumber=1)._replace(thickness=2.0)
        for z in (0, 2, 5)
    ]
    with pytest.raises(FormatError, match="masks are not interpolated") as caught:
        stack_segments("a.dcm", frames, [1])
    assert "irregular" not in str(caught.value)
    twice = [frames[0], frames[0]]
    with pytest.raises(FormatError, match="segment 1 has two frames at one position"):
        stack_segments("a.dcm", twice, [1])


@pytest.mark.parametrize("step", [4.5, -4.5])
@pytest.mark.parametrize("detector", [True, False])
def test_one_position_with_a_step_and_its_sign(
    step: float, detector: bool, tmp_path: Path, write_slice: Callable[..., Any],
    make_item: Callable[..., Any],
) -> None:  # fmt: skip
    place = {
        "ImagePositionPatient": [-100, -90, 50], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]
    }  # fmt: skip
    elements: dict[str, Any] = dict(place)
    if detector:
        elements = dict.fromkeys(place) | {
            "DetectorInformationSequence": [make_item(**place)],
            "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        }
    values = np.arange(36, dtype="u2").reshape(3, 3, 4)
    write_slice(tmp_path / "nm.dcm", values, SpacingBetweenSlices=step, **elements)
    image = sd.read(tmp_path / "nm.dcm")
    for k in range(3):
        found = image.physical_to_index((-98, -89, 50 + step * k))
        assert np.asarray(image)[tuple(np.round(found).astype(int))] == values[k, 1, 2]


@pytest.mark.parametrize("vector", [[1, 2, 3], [3, 2, 1]])
def test_slice_vector_says_which_slice_a_frame_is(
    vector: list[int], tmp_path: Path, write_slice: Callable[..., Any]
) -> None:
    from pydicom.tag import Tag

    values = np.arange(36, dtype="u2").reshape(3, 3, 4)
    write_slice(
        tmp_path / "nm.dcm", values, SpacingBetweenSlices=2, SliceVector=vector,
        FrameIncrementPointer=Tag("SliceVector"),
    )  # fmt: skip
    image = sd.read(tmp_path / "nm.dcm")
    for k, number in enumerate(vector):
        found = image.physical_to_index((0, 0, 2 * (number - vector[0])))
        assert np.asarray(image)[tuple(np.round(found).astype(int))] == values[k, 0, 0]


def test_gated_slices_have_an_axis_of_intervals(
    tmp_path: Path, write_slice: Callable[..., Any]
) -> None:
    from pydicom.tag import Tag

    values = np.arange(4, dtype="u2")[:, None, None] * np.ones((3, 4), "u2")
    write_slice(
        tmp_path / "nm.dcm", values, SpacingBetweenSlices=2, TimeSlotVector=[1, 1, 2, 2],
        SliceVector=[1, 2, 1, 2], FrameIncrementPointer=[Tag("TimeSlotVector"), Tag("SliceVector")],
    )  # fmt: skip
    image = sd.read(tmp_path / "nm.dcm")
    assert np.asarray(image)[:, :, 0, 0].tolist() == [[0, 1], [2, 3]]
    assert list(image.coords["time_slot_vector"]) == [1, 2]


@pytest.mark.parametrize(
    "offsets, places",
    [([0, 2, 4], [10, 12, 14]), ([0, -2, -4], [10, 8, 6]), ([10, 12, 14], [10, 12, 14]),
     ([10, 8, 6], [10, 8, 6])],
)  # fmt: skip
def test_dose_by_offsets(
    offsets: list[float], places: list[float], tmp_path: Path, write_slice: Callable[..., Any]
) -> None:
    values = np.arange(36, dtype="u4").reshape(3, 3, 4)
    write_slice(
        tmp_path / "dose.dcm", values, z=10.0, GridFrameOffsetVector=offsets, Modality="RTDOSE",
        DoseGridScaling=0.001, DoseUnits="GY", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2",
    )  # fmt: skip
    image = sd.read(tmp_path / "dose.dcm")
    assert image.attrs["dicom"]["DoseUnits"] == "GY"
    assert "DoseGridScaling" not in image.attrs["dicom"]
    for k, z in enumerate(places):
        found = np.round(image.physical_to_index((0, 0, z))).astype(int)
        assert np.isclose(np.asarray(image)[tuple(found)], values[k, 0, 0] * 0.001)


def test_frames_in_one_place_are_not_a_stack(
    tmp_path: Path, write_slice: Callable[..., Any]
) -> None:
    write_slice(tmp_path / "a.dcm", np.zeros((3, 3, 4), "u2"))
    with pytest.raises(FormatError, match="duplicates"):
        sd.read(tmp_path / "a.dcm")


def test_spacing_of_zero_stands_for_unknown_only_without_a_place(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    write_slice(tmp_path / "ct.dcm", pixels, PixelSpacing=[0, 0])
    with pytest.raises(FormatError, match="PixelSpacing must be positive"):
        sd.read(tmp_path / "ct.dcm")
    gone = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient"))
    write_slice(tmp_path / "cr.dcm", pixels, PixelSpacing=[0, 0], ImagerPixelSpacing=[2, 3], **gone)
    assert sd.read(tmp_path / "cr.dcm").spacing.tolist() == [2, 3]
    write_slice(tmp_path / "dx.dcm", pixels, PixelSpacing=[0, 0], **gone)
    assert set(sd.read(tmp_path / "dx.dcm").world.units) == {None}


@pytest.mark.parametrize("step", [0.0004, 0.003, 0.009])
def test_slices_thinner_than_the_tolerance_are_slices(tmp_path: Path, step: float) -> None:
    """A stack of a microscope, in steps of micrometres, is a volume and not one place."""
    data = np.arange(100, dtype="i2").reshape(5, 4, 5)
    image = sd.SpatialArray(data, spacing=(step, 1.0, 1.0), origin=(0.3, -812.3, 33.0),
                            frame="LPS", unit="mm")  # fmt: skip
    sd.write(tmp_path / "series", image, format="dicom")
    back = sd.read(tmp_path / "series")
    assert back.shape == (5, 4, 5)
    assert np.array_equal(np.asarray(back), data)
    assert np.allclose(back.geometry.spacing, image.spacing, rtol=1e-6)
