"""Values of DICOM pixels: the type holds all of them, and none is changed or guessed."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FormatError
from spatial_duck.io.dicom._values import PixelFormat, Scale, cast, smallest_type

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@st.composite
def kinds_of_frames(draw: st.DrawFn) -> tuple[PixelFormat, Scale, int]:
    """Return how a frame is stored, its scale, and one stored number."""
    size, signed = draw(st.sampled_from([1, 2, 4])), draw(st.booleans())
    bits = draw(st.integers(1, 8 * size))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    scale = draw(
        st.one_of(
            st.just(Scale()),
            st.builds(Scale, st.just(1.0), st.integers(-2000, 2000).map(float), st.just(0)),
            st.builds(
                Scale, st.sampled_from([2.0, -3.0]), st.integers(-5, 5).map(float), st.just(0)
            ),
            st.builds(Scale, st.sampled_from([0.5, 0.1]), st.floats(-10, 10), st.just(0)),
        )
    )
    return (
        PixelFormat(f"{'i' if signed else 'u'}{size}", low, high),
        scale,
        draw(st.integers(low, high)),
    )


@pytest.mark.slow
@given(st.lists(kinds_of_frames(), min_size=1, max_size=5))
def test_type_of_the_whole_holds_each_value(frames: list[tuple[PixelFormat, Scale, int]]) -> None:
    dtype = smallest_type((stored, scale) for stored, scale, _ in frames)
    for stored, scale, number in frames:
        found = cast(np.array([number], stored.dtype), dtype, scale, "frame", stored)
        assert found.dtype == dtype
        if scale.slope == int(scale.slope) and scale.intercept == int(scale.intercept):
            assert Fraction(found[0].item()) == number * int(scale.slope) + int(scale.intercept)
        else:
            assert found[0] == np.float64(number) * scale.slope + scale.intercept


@pytest.mark.slow
@given(st.lists(kinds_of_frames(), min_size=1, max_size=5))
def test_no_smaller_integer_type_would_do(frames: list[tuple[PixelFormat, Scale, int]]) -> None:
    dtype = smallest_type((stored, scale) for stored, scale, _ in frames)
    if dtype.kind == "f" or dtype.itemsize == 1:
        return
    smaller = np.dtype(f"{dtype.kind}{dtype.itemsize // 2}")
    ends = []
    for stored, scale, _ in frames:
        limits = (stored.low, stored.high)
        if scale == Scale():
            limits = (np.iinfo(stored.dtype).min, np.iinfo(stored.dtype).max)
        ends += [int(v) * int(scale.slope) + int(scale.intercept) for v in limits]
    assert min(ends) < np.iinfo(smaller).min or max(ends) > np.iinfo(smaller).max


def test_64_bit_integers_that_no_type_holds_are_refused() -> None:
    signed, unsigned = (
        PixelFormat("i8", -(1 << 63), (1 << 63) - 1),
        PixelFormat("u8", 0, (1 << 64) - 1),
    )
    with pytest.raises(FormatError, match="64-bit"):
        smallest_type([(signed, Scale()), (unsigned, Scale())])
    with pytest.raises(FormatError, match="64-bit"):
        smallest_type([(signed, Scale()), (PixelFormat("u1", 0, 255), Scale(0.5))])


def test_values_beyond_bits_stored_are_refused_not_wrapped() -> None:
    stored, scale = PixelFormat("u2", 0, 4095), Scale(1.0, -1024.0)
    dtype = smallest_type([(stored, scale)])
    with pytest.raises(FormatError, match=r"BitsStored says 0 to 4095.*65535"):
        cast(np.array([65535], "u2"), dtype, scale, "a.dcm", stored)


@pytest.mark.parametrize("kind", ["i2", "u2", "i4", "u1", "f4", "f8"])
@pytest.mark.parametrize("lazy", [True, False])
def test_slices_of_several_types(
    kind: str, lazy: bool, tmp_path: Path, write_slice: Callable[..., Any]
) -> None:
    write_slice(tmp_path / "a.dcm", np.full((3, 4), 7, kind))
    write_slice(tmp_path / "b.dcm", np.full((3, 4), -300, "i2"), 3.0)
    image = sd.read(tmp_path, lazy=lazy)
    assert image.dtype == np.result_type(kind, "i2") or (kind, str(image.dtype)) == (
        "f4",
        "float64",
    )
    assert np.asarray(image)[:, 0, 0].tolist() == [7, -300]
    assert sd.io.info(tmp_path).dtype == image.dtype


@pytest.mark.parametrize("code", ["f4", "f8"])
def test_float_pixels(code: str, tmp_path: Path, write_enhanced: Callable[..., None]) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(code)
    write_enhanced(tmp_path / "map.dcm", values, [(3.0 * k, {}) for k in range(3)])
    image = sd.read(tmp_path / "map.dcm")
    assert image.dtype == code
    assert np.array_equal(np.asarray(image), values)


@pytest.mark.parametrize("bits", [8, 16])
def test_palette_gives_colours(bits: int, tmp_path: Path, write_slice: Callable[..., Any]) -> None:
    lut = np.random.default_rng(0).integers(0, 1 << bits, (3, 256)).astype(f"u{bits // 8}")
    tables: dict[str, Any] = {}
    for colour, table in zip(("Red", "Green", "Blue"), lut, strict=True):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tables[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    index = np.arange(12, dtype="u1").reshape(3, 4)
    write_slice(tmp_path / "p.dcm", index, PhotometricInterpretation="PALETTE COLOR", **tables)
    image = sd.read(tmp_path / "p.dcm")
    assert image.dims == ("z", "y", "x", "c")
    assert image.dtype == lut.dtype
    assert np.array_equal(np.asarray(image).reshape(12, 3), lut[:, :12].T)
    assert image.attrs["dicom"]["PhotometricInterpretation"] == "RGB"
    assert not [k for k in image.attrs["dicom"] if "Palette" in k]
    stored = sd.read(tmp_path / "p.dcm", scaled=False)
    assert np.array_equal(np.asarray(stored)[0], index)


def test_palette_without_a_table_is_refused(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    write_slice(tmp_path / "p.dcm", pixels, PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(FormatError, match=r"PALETTE COLOR needs a palette.*scaled=False"):
        sd.read(tmp_path / "p.dcm")


def test_modality_table(
    tmp_path: Path, write_slice: Callable[..., Any], make_item: Callable[..., Any]
) -> None:
    table = [500 - k for k in range(12)]
    item = make_item(LUTDescriptor=[12, 3, 16], LUTData=table, ModalityLUTType="OD")
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    index = np.arange(12, dtype="u2").reshape(3, 4)
    write_slice(tmp_path / "a.dcm", index, ModalityLUTSequence=[item])
    image = sd.read(tmp_path / "a.dcm")
    wanted = [500, 500, 500, *table[:9]]  # indices below the first that is mapped take its value
    assert np.asarray(image).ravel().tolist() == wanted
    assert np.array_equal(np.asarray(sd.read(tmp_path / "a.dcm", scaled=False))[0], index)


@pytest.mark.parametrize("slope", [2.0, 0.25])
def test_parametric_map_of_integers(
    slope: float, tmp_path: Path, write_enhanced: Callable[..., None]
) -> None:
    stored = np.arange(48, dtype="u2").reshape(3, 4, 4)
    mapping = {"RealWorldValueMappingSequence": {
        "RealWorldValueSlope": slope, "RealWorldValueIntercept": -1.0, "LUTLabel": "ADC",
    }}  # fmt: skip
    write_enhanced(
        tmp_path / "map.dcm", stored, [(3.0 * k, {}) for k in range(3)], mapping,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.30",
    )  # fmt: skip
    assert np.array_equal(np.asarray(sd.read(tmp_path / "map.dcm")), stored * slope - 1)
    assert np.array_equal(np.asarray(sd.read(tmp_path / "map.dcm", scaled=False)), stored)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_black_and_white_stay_what_they_are(
    photometric: str, tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    (tmp_path / "in").mkdir()
    for k in range(2):
        elements = {"PhotometricInterpretation": photometric}
        write_slice(tmp_path / "in" / f"{k}.dcm", pixels + k, 3.0 * k, **elements)
    sd.write(tmp_path / "out", sd.read(tmp_path / "in")[:, ::-1], format="dicom")
    for file in (tmp_path / "out").iterdir():
        assert pydicom.dcmread(file).PhotometricInterpretation == photometric


def test_rescale_slope_of_zero_is_refused(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    write_slice(tmp_path / "a.dcm", pixels, RescaleSlope=0, RescaleIntercept=0)
    with pytest.raises(FormatError, match="RescaleSlope must not be 0"):
        sd.read(tmp_path / "a.dcm")


@pytest.mark.parametrize("intercept", [2.0**62, -(2.0**63), 1e30])
def test_scales_beyond_exact_integers_give_floats(intercept: float) -> None:
    stored = PixelFormat("u2", 0, 65535)
    scale = Scale(1.0, intercept)
    dtype = smallest_type([(stored, scale)])
    assert dtype == np.float64
    out = cast(np.array([0, 7], "u2"), dtype, scale, "a.dcm", stored)
    assert out.tolist() == [intercept, 7 + intercept]
