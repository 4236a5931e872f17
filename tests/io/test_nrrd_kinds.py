"""Kinds of NRRD's axes: vectors, tensors, colors and diffusion gradients, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from pathlib import Path

nrrd = pytest.importorskip("nrrd", reason="needs pynrrd")
#: pynrrd's writer asks for the time in a way that Python is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")

SPACE = "left-posterior-superior"


def save(path: Path, kind: str, count: int, **more: Any) -> Any:
    """Save an image whose fastest axis is of a kind, by pynrrd."""
    values = np.random.default_rng(0).normal(size=(count, 4, 5, 6)).astype("f4")
    directions = np.vstack([np.full(3, np.nan), np.diag([1.0, 2, 3])])
    header = {"space": SPACE, "space directions": directions, "space origin": [1.0, 2, 3],
              "kinds": [kind, *["domain"] * 3], "encoding": "raw"} | more  # fmt: skip
    nrrd.write(str(path), values, header)
    return values


@pytest.mark.fact("units", "NRRD", "both ways", "pynrrd", says="`space units`")
def test_units_are_pynrrds(tmp_path: Path) -> None:
    header = {"space dimension": 3, "space directions": np.diag([1.0, 2, 3]),
              "space origin": [1.0, 2, 3], "space units": ["um", "um", "um"]}  # fmt: skip
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((4, 5, 6), "u1"), header)
    image = sd.read(tmp_path / "a.nrrd")
    assert image.unit == ("um", "um", "um")
    sd.write(tmp_path / "b.nrrd", image.to_unit("mm"))
    back = nrrd.read_header(str(tmp_path / "b.nrrd"))
    assert back["space units"] == ["mm", "mm", "mm"]
    assert np.allclose(np.diag(back["space directions"]), [1e-3, 2e-3, 3e-3])


KINDS = [
    ("3D-masked-symmetric-matrix", 7, "channel", "confidence"), ("vector", 3, "component", "x"),
    ("covariant-vector", 3, "component", "x"), ("3D-symmetric-matrix", 6, "component", "xx"),
    ("RGB-color", 3, "channel", "red"), ("RGBA-color", 4, "channel", "red"),
    ("HSV-color", 3, "channel", "hue"), ("complex", 2, "channel", "real"),
    ("vector", 5, "channel", "0"), ("3D-matrix", 9, "channel", "0"),
    ("quaternion", 4, "channel", "0"),
]  # fmt: skip


@pytest.mark.fact("components of vectors", "NRRD", "both ways", "pynrrd", says="kind `vector`, …")
@pytest.mark.fact(
    "symmetric tensors", "NRRD", "both ways", "pynrrd", says="kind `3D-symmetric-matrix`, …"
)
@pytest.mark.fact("colors of samples", "NRRD", "both ways", "pynrrd", says="kind `RGB-color`, …")
@pytest.mark.parametrize("kind, count, name, first", KINDS)
def test_kinds_come_back(kind: str, count: int, name: str, first: str, tmp_path: Path) -> None:
    values = save(tmp_path / "a.nrrd", kind, count)
    image = sd.read(tmp_path / "a.nrrd")
    assert str(image.coords[name][0]) == first
    for moved in (image, image.transpose(3, 0, 1, 2), image[::-1]):
        sd.write(tmp_path / "b.nrrd", moved, overwrite=True)
        data, header = nrrd.read(str(tmp_path / "b.nrrd"))
        kinds = dict(zip(data.shape, header["kinds"], strict=True)) if count not in (4, 5, 6) else {
            data.shape[i]: k for i, k in enumerate(header["kinds"]) if k != "space"
        }  # fmt: skip
        assert kinds[count] == kind, header["kinds"]
    sd.write(tmp_path / "c.nrrd", image)
    assert np.array_equal(nrrd.read(str(tmp_path / "c.nrrd"))[0], values)
    # A part of the axis is of that kind no more.
    with pytest.warns(UserWarning, match=f"cannot store the coordinates '{name}'"):
        sd.write(tmp_path / "d.nrrd", image[..., 1:])
    assert kind not in nrrd.read_header(str(tmp_path / "d.nrrd"))["kinds"]


@pytest.mark.parametrize("frame", ["RAS", "LPS", "SLP"])
def test_vectors_turn_with_the_frame(frame: str, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    values = np.random.default_rng(0).normal(size=(3, 4, 5, 3))
    image = sd.SpatialArray(
        values, dims=("z", "y", "x", "c"), unit="mm", world=("x", "y", "z"), frame=frame,
        coords={"component": ("c", ["x", "y", "z"])},
    )  # fmt: skip
    sd.write(tmp_path / "a.nrrd", image)
    read = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    if nrrd.read_header(str(tmp_path / "a.nrrd"))["space"] != SPACE:
        return  # ITK turns the grid to LPS, and not the vectors
    change = sd.geometry._world.frame_change(frame, "LPS")
    start = image.index_to_physical((1, 2, 3, 0))
    at = read.TransformPhysicalPointToIndex([float(sign * start[s]) for s, sign in change])
    assert np.allclose(read[at], [sign * values[1, 2, 3][s] for s, sign in change])


@pytest.mark.fact("b-values and gradients", "NRRD", "both ways", "pynrrd", says="`DWMRI_…` keys")
@pytest.mark.fact("measurement frame", "NRRD", "read", "pynrrd")
@pytest.mark.parametrize("frame", [None, "turned"])
def test_diffusion_gradients(frame: str | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    turn = np.eye(3) if frame is None else np.linalg.qr(rng.normal(size=(3, 3)))[0]
    b = np.array([0, 500, 1000, 1000, 250.0])
    unit = rng.normal(size=(5, 3))
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    unit[0] = 0
    stored = unit * np.sqrt(b / 1000)[:, None]
    keys = {
        f"DWMRI_gradient_{n:04d}": " ".join(map(repr, map(float, g))) for n, g in enumerate(stored)
    }
    values = save(tmp_path / "a.nrrd", "list", 5, **{"measurement frame": turn.T}, modality="DWMRI",
                  **{"DWMRI_b-value": "1000"}, **keys)  # fmt: skip
    image = sd.read(tmp_path / "a.nrrd")
    assert np.allclose(image.coords["b_value"], b)
    assert np.allclose(image.coords["gradient_direction"].values, unit @ turn.T)
    assert image.coords["gradient_direction"].attrs["frame"] == "LPS"
    sd.write(tmp_path / "b.nrrd", image[..., ::-1])
    data, header = nrrd.read(str(tmp_path / "b.nrrd"))
    assert np.array_equal(data, values[::-1])
    again = np.array([header[f"DWMRI_gradient_{n:04d}"].split() for n in range(5)], float)
    assert np.allclose(again, (stored @ turn.T)[::-1])
    # FSL's files beside a NIfTI say the same.
    pytest.importorskip("nibabel", reason="needs nibabel")
    sd.write(tmp_path / "c.nii", image)
    found = sd.read(tmp_path / "c.nii").coords
    assert np.allclose(found["b_value"], b)
    assert np.allclose(found["gradient_direction"].values, unit @ turn.T * [-1, -1, 1], atol=1e-6)
