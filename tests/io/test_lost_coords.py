"""What a format has no place for is named before anything is written; what it holds comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io

if TYPE_CHECKING:
    from pathlib import Path

for _package in ("nibabel", "nrrd", "zarr", "tifffile", "h5py", "imageio", "pydicom"):
    pytest.importorskip(_package, reason=f"needs {_package}")

HOLD_ALL = (".ome.zarr", ".ozx", ".zarr.zip", ".tif", ".h5", ".npy", ".vti")
HOLD_SOME = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".seg.nrrd")


def carrying(**coords: object) -> sd.SpatialArray:
    """Return labels in LPS with coordinates."""
    values = np.arange(24, dtype="u2").reshape(2, 3, 4) % 3
    return sd.SpatialArray(values, spacing=(2, 1, 1), unit="mm", frame="LPS", coords=coords)


@pytest.mark.parametrize("suffix", HOLD_SOME)
def test_coordinates_that_a_format_cannot_hold_are_named(suffix: str, tmp_path: Path) -> None:
    image = carrying(dwell=("z", [1.5, 2.5], {"unit": "ms"}), operator=((), "me"))
    path = tmp_path / f"a{suffix}"
    with pytest.warns(UserWarning, match=r"cannot store the coordinates 'dwell', 'operator'"):
        sd.write(path, image)
    assert not {"dwell", "operator"} & set(sd.read(path).coords)
    sd.write(path, image.replace(coords={}), overwrite=True)


def test_a_picture_says_what_it_leaves_out(tmp_path: Path) -> None:
    plane = sd.SpatialArray(np.zeros((3, 4), "u1"), coords={"dwell": ("y", [1.0, 2.0, 3.0])})
    with pytest.warns(UserWarning, match="'dwell'"):
        sd.write(tmp_path / "a.png", plane)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", HOLD_ALL)
def test_formats_with_a_record_hold_all(suffix: str, tmp_path: Path) -> None:
    image = carrying(
        dwell=("z", [1.5, np.nan], {"unit": "ms", "scanner": "a"}),
        phase=("y", [1j, 2.0, complex(0, np.inf)]),
        when=("x", np.datetime64("2020-01-01", "D") + np.arange(4)),
        operator=((), "µ"),
        gradient_direction=("x", np.eye(4, 3)),
    )
    path = tmp_path / f"a{suffix}"
    sd.write(path, image)
    assert dict(sd.read(path).coords) == dict(image.coords)
    assert dict(sd.read(path, lazy=True).coords) == dict(image.coords)


def test_nothing_is_written_where_a_warning_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserWarning, match="cannot store"):
        sd.write(tmp_path / "a.mha", carrying(operator=((), "me")))
    assert list(tmp_path.iterdir()) == []


def test_what_tells_files_apart_is_no_loss(tmp_path: Path) -> None:
    sd.write(tmp_path / "a.nrrd", carrying(sop_instance_uid=("z", ["1.2", "1.3"])))
    assert not sd.read(tmp_path / "a.nrrd").coords


def test_a_format_says_nothing_unless_it_was_told_to() -> None:
    class Plain(io.Format):
        name, suffixes = "plain", (".plain",)

        def matches(self, path: Path, head: bytes) -> bool:
            return False

        def open(self, path: Path) -> sd.SpatialArray:
            raise NotImplementedError

    assert list(Plain().held_coords(carrying(operator=((), "me")))) == []


def test_channels_that_were_renamed_in_ome_xml_are_the_new_ones(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    values = np.zeros((2, 3, 4), "u1")
    image = sd.SpatialArray(
        values, dims=("c", "y", "x"), spacing=(1, 1), unit="um",
        coords={"channel": ("c", ["DAPI", "GFP"]), "dwell": ("c", [1.0, 2.0], {"unit": "ms"})},
    )  # fmt: skip
    sd.write(tmp_path / "a.ome.tif", image)
    xml = tifffile.tiffcomment(tmp_path / "a.ome.tif")
    tifffile.tiffcomment(tmp_path / "a.ome.tif", xml.replace('Name="GFP"', 'Name="RFP"').encode())
    back = sd.read(tmp_path / "a.ome.tif")
    assert list(back.coords["channel"]) == ["DAPI", "RFP"]
    assert list(back.coords["dwell"]) == [1.0, 2.0]


@pytest.mark.fact("echo and repetition times", "DICOM", "written", "pydicom")
@pytest.mark.parametrize(
    "given, written",
    [((30.0, "ms"), 30.0), ((0.03, "s"), 30.0), ((30.0, None), 30.0)],
)
def test_dicom_times_are_in_the_unit_of_the_standard(
    given: tuple[float, str | None], written: float, tmp_path: Path
) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    value, unit = given
    facts = {} if unit is None else {"unit": unit}
    echo = ("z", [value, value + (1 if unit != "s" else 0.001)], facts)
    sd.write(tmp_path / "a", carrying(echo_time=echo), format="dicom")
    first = pydicom.dcmread(tmp_path / "a" / "00001.dcm")
    assert float(first.EchoTime) == pytest.approx(written)


def test_dicom_leaves_out_units_and_frames_of_others(tmp_path: Path) -> None:
    image = carrying(
        echo_time=("z", [1.0, 2.0], {"unit": "parsec"}),
        gradient_direction=("z", np.eye(2, 3), {"frame": "RAS"}),
    )
    with pytest.warns(UserWarning, match="'echo_time', 'gradient_direction'"):
        sd.write(tmp_path / "a", image, format="dicom")


@pytest.mark.parametrize("suffix", [".nii", ".nrrd"])
def test_b_values_in_another_unit_are_left_out(suffix: str, tmp_path: Path) -> None:
    image = sd.SpatialArray(
        np.zeros((6, 2, 3, 4), "f4"), dims=(None, "z", "y", "x"), spacing=(1, 1, 1), unit="mm",
        frame="RAS",
        coords={
            "b_value": (0, [0.0, 1, 1, 1, 1, 1], {"unit": "ms/um^2"}),
            "gradient_direction": (0, np.eye(3)[[0, 1, 2, 0, 1, 2]], {"frame": "RAS"}),
        },
    )  # fmt: skip
    with pytest.warns(UserWarning, match="'b_value'"):
        sd.write(tmp_path / f"a{suffix}", image)


@pytest.mark.fact(
    "components of vectors", "MetaImage", "written", "SimpleITK", says="without a name, in LPS"
)
def test_vectors_of_metaimage_are_those_of_itk(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    field = sd.SpatialArray(
        np.ones((2, 3, 4, 3), "f4"), dims=("z", "y", "x", "c"), spacing=(1, 1, 1), unit="mm",
        frame="RAS", coords={"component": ("c", ["x", "y", "z"])},
    )  # fmt: skip
    with pytest.warns(UserWarning, match="'component'"):
        sd.write(tmp_path / "a.mha", field)
    assert sitk.ReadImage(str(tmp_path / "a.mha"))[0, 0, 0] == (-1.0, -1.0, 1.0)
