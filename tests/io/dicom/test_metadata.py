"""What headers say besides pixels: attrs where all agree, coordinates where an axis decides."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Sequence of functional groups, element and values of two volumes.
GROUPS = [
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime", (2000.0, 2500.0)),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle", (30.0, 90.0)),
    ("MREchoSequence", "EffectiveEchoTime", (81.0, 99.0)),
    ("MRDiffusionSequence", "DiffusionBValue", (0.0, 700.0)),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", (0.0, 40.0)),
    ("FrameVOILUTSequence", "WindowCenter", (40.0, 50.0)),
    ("MRImageFrameTypeSequence", "ComplexImageComponent", ("MAGNITUDE", "PHASE")),
]
NAMES = {
    "DiffusionBValue": "b_value",
    "NominalCardiacTriggerDelayTime": "nominal_cardiac_trigger_delay_time",
    "RepetitionTime": "repetition_time",
    "FlipAngle": "flip_angle",
    "WindowCenter": "window_center",
    "EffectiveEchoTime": "effective_echo_time",
    "ComplexImageComponent": "complex_image_component",
}


@pytest.mark.fact("b-values and gradients", "DICOM", "read", "pydicom")
@pytest.mark.fact("echo and repetition times", "DICOM", "read", "pydicom")
@pytest.mark.fact("display windows", "DICOM", "read", "pydicom")
@pytest.mark.parametrize("sequence, keyword, values", GROUPS)
@pytest.mark.parametrize("axis", ["shared", "volume", "slice"])
def test_functional_groups(
    sequence: str, keyword: str, values: tuple[Any, Any], axis: str, tmp_path: Path,
    write_enhanced: Callable[..., None],
) -> None:  # fmt: skip
    frames = []
    for t, k in itertools.product(range(2), range(2)):
        groups: dict[str, dict[str, Any]] = {
            "FrameContentSequence": {"TemporalPositionIndex": t + 1}
        }
        if axis != "shared":
            groups[sequence] = {keyword: values[t if axis == "volume" else k]}
        frames.append((3.0 * k, groups))
    shared = {sequence: {keyword: values[0]}} if axis == "shared" else {}
    pixels = np.arange(4, dtype="u2")[:, None, None] * np.ones((3, 4), "u2")
    write_enhanced(tmp_path / "e.dcm", pixels, frames, shared)
    image = sd.read(tmp_path / "e.dcm")
    assert image.shape == (2, 2, 3, 4)
    attrs = image.attrs["dicom"]
    if axis == "shared":
        assert attrs[keyword] == values[0]
        assert NAMES[keyword] not in image.coords
        return
    assert keyword not in attrs
    assert list(image.coords[NAMES[keyword]]) == list(values)
    kept = image[1:] if axis == "volume" else image[:, 1:]
    assert list(kept.coords[NAMES[keyword]]) == [values[1]]


@pytest.mark.fact("b-values and gradients", "DICOM", "read", "pydicom")
def test_gradient_directions_inside_the_diffusion_group(
    tmp_path: Path, write_enhanced: Callable[..., None], make_item: Callable[..., Any]
) -> None:
    ways = [None, [0.0, 0.6, 0.8], [1.0, 0.0, 0.0]]
    frames = []
    for t, k in itertools.product(range(3), range(2)):
        group: dict[str, Any] = {"DiffusionBValue": 1000.0 * (t > 0)}
        if ways[t] is not None:
            item = make_item(DiffusionGradientOrientation=ways[t])
            group["DiffusionGradientDirectionSequence"] = [item]
        frames.append((3.0 * k, {"MRDiffusionSequence": group}))
    pixels = np.repeat(np.arange(3, dtype="u2"), 2)[:, None, None] * np.ones((3, 4), "u2")
    write_enhanced(tmp_path / "e.dcm", pixels, frames)
    image = sd.read(tmp_path / "e.dcm")
    assert np.asarray(image)[:, :, 0, 0].tolist() == [[0, 0], [1, 1], [2, 2]]
    found = np.asarray(image.coords["gradient_direction"])
    assert np.isnan(found[0]).all()
    assert found[1:].tolist() == ways[1:]


def test_what_varies_along_two_axes_has_no_place(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    for t, k in itertools.product(range(2), range(3)):
        write_slice(
            tmp_path / f"{t}{k}.dcm", pixels, 3.0 * k, EchoTime=5.0 + t, WindowCenter=10 * t + k,
            TablePosition=2.0 * k, FlipAngle=30,
        )  # fmt: skip
    image = sd.read(tmp_path)
    assert list(image.coords["echo_time"]) == [5, 6]
    assert list(image.coords["table_position"]) == [0, 2, 4]
    assert "window_center" not in image.coords
    assert "WindowCenter" not in image.attrs["dicom"]
    assert image.attrs["dicom"]["FlipAngle"] == 30


def test_slices_keep_their_elements_through_turns_and_files(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    (tmp_path / "in").mkdir()
    for k in range(4):
        elements = {"TriggerTime": 25.0 * k, "WindowCenter": [k, 40], "ImageComments": f"no {k}"}
        write_slice(tmp_path / "in" / f"{k}.dcm", pixels + k, 3.0 * k, **elements)
    image = sd.read(tmp_path / "in")
    assert np.asarray(image.coords["window_center"]).tolist() == [[k, 40] for k in range(4)]
    with pytest.warns(UserWarning, match="'window_center'"):
        sd.write(tmp_path / "out", image[::-1][:3], format="dicom")
    back = sd.read(tmp_path / "out")
    assert list(back.coords["trigger_time"]) == [25, 50, 75]
    assert list(back.coords["image_comments"]) == ["no 1", "no 2", "no 3"]
    assert np.asarray(back)[:, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.fact("b-values and gradients", "DICOM", "written", "pydicom")
def test_a_volume_is_written_with_what_was_the_same_for_all_its_slices(tmp_path: Path) -> None:
    import pydicom

    coords = {"b_value": ("c", [0.0, 500]), "gradient_direction": ("c", [[0, 0, 0], [0, 0.6, 0.8]]),
              "echo_time": ("c", [0.09, 0.08], {"unit": "s"})}  # fmt: skip
    both = sd.SpatialArray(
        np.ones((2, 3, 4, 5), "u2"), dims=("c", "z", "y", "x"), frame="LPS", unit="mm",
        coords=coords,
    )  # fmt: skip
    sd.write(tmp_path / "out", both[1], format="dicom")
    for path in (tmp_path / "out").iterdir():
        d = pydicom.dcmread(path)
        assert d.DiffusionBValue == 500
        assert list(d.DiffusionGradientOrientation) == [0, 0.6, 0.8]
        assert float(d.EchoTime) == 80


def test_mixed_slices_have_no_elements_of_their_own(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    for k, z in enumerate((0.0, 2.0, 5.0)):
        write_slice(tmp_path / f"{k}.dcm", pixels, z, TriggerTime=25.0 * k, FlipAngle=30)
    image = sd.read(tmp_path, irregular="resample", step=1.0)
    assert len(image) == 6
    assert not dict(image.coords)
    assert image.attrs["dicom"]["FlipAngle"] == 30
