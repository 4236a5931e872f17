"""OME-Zarr 0.6: coordinate systems, against ome-zarr-models and ngff-zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spatial_duck import io
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")

SHAPE = (2, 5, 6, 7)
SPACE = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
TURNED = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
LEFT, BACK, UP = (
    {"type": "anatomical", "value": value}
    for value in ("right-to-left", "anterior-to-posterior", "inferior-to-superior")
)
PATIENT = [{**axis, "orientation": o} for axis, o in zip(SPACE, (UP, BACK, LEFT), strict=True)]
CHANNEL = {"name": "c", "type": "channel"}


def to(name: str, **rest: Any) -> dict[str, Any]:
    return {"input": {"name": "intrinsic"}, "output": {"name": name}, **rest}


def with_channel(matrix: Any, offset: Any) -> list[list[float]]:
    """Return an affine transformation of z, y, x that leaves the channel alone."""
    out = np.zeros((4, 5))
    out[0, 0], out[1:, 1:4], out[1:, 4] = 1, matrix, offset
    return out.tolist()  # type: ignore[no-any-return]


SHEAR = with_channel(TURNED @ [[1, 0.2, 0], [0, 1, 0], [0, 0, 1]], [10, -20, 30])
FLIP = [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]

#: Transformations from the intrinsic system to "patient", of c, z, y, x.
LINEAR: dict[str, dict[str, Any]] = {
    "affine": {"type": "affine", "affine": SHEAR},
    "rotation": {"type": "rotation", "rotation": FLIP},
    "scale": {"type": "scale", "scale": [1, 2, 3, 4]},
    "mapAxis": {"type": "mapAxis", "mapAxis": [0, 2, 3, 1]},
    "sequence": {
        "type": "sequence",
        "transformations": [
            {"type": "rotation", "rotation": FLIP},
            {"type": "translation", "translation": [0, 5, 6, 7]},
            {"type": "affine", "affine": SHEAR},
        ],
    },
    "bijection": {
        "type": "bijection",
        "forward": {"type": "translation", "translation": [0, 1, 2, 3]},
        "inverse": {"type": "translation", "translation": [0, -1, -2, -3]},
    },
    "byDimension": {
        "type": "byDimension",
        "transformations": [
            {"inputAxes": [0], "outputAxes": [0], "transformation": {"type": "identity"}},
            {"inputAxes": [3, 2, 1], "outputAxes": [1, 2, 3],
             "transformation": {"type": "affine",
                                "affine": np.c_[TURNED, [1, 2, 3]].tolist()}},
        ],
    },
}  # fmt: skip


def entry(*further: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of two levels, with further transformations."""

    def level(n: int) -> dict[str, Any]:
        factor = 2.0**n
        return {
            "path": str(n),
            "coordinateTransformations": [{
                "input": {"path": str(n)}, "output": {"name": "intrinsic"}, "type": "sequence",
                "transformations": [
                    {"type": "scale", "scale": [1, 3 * factor, 2 * factor, 0.5 * factor]},
                    {"type": "translation",
                     "translation": [0, 1.5 * factor, factor - 4, 0.25 * factor]},
                ],
            }],
        }  # fmt: skip

    return {
        "name": "test",
        "coordinateSystems": [
            {"name": "intrinsic", "axes": [CHANNEL, *SPACE]},
            {"name": "patient", "axes": [CHANNEL, *PATIENT]},
            {"name": "alone", "axes": [CHANNEL, *SPACE]},
        ],
        "datasets": [level(0), level(1)],
        "coordinateTransformations": list(further),
    }


def stored(folder: Path, metadata: dict[str, Any]) -> Path:
    group = zarr.create_group(str(folder / "a.zarr"), zarr_format=3)
    for n in range(2):
        shape = (2, *[-(-k // 2**n) for k in SHAPE[1:]])
        array = group.create_array(str(n), shape=shape, chunks=shape, dtype="u1")
        array[...] = 1
    group.attrs["ome"] = {"version": "0.6", "multiscales": [metadata]}
    return folder / "a.zarr"


@pytest.mark.parametrize("kind", sorted(LINEAR))
def test_points_are_those_of_the_models(kind: str, tmp_path: Path) -> None:
    module = pytest.importorskip(
        "ome_zarr_models.v06.multiscales", reason="needs ome-zarr-models with 0.6"
    )
    metadata = entry(to("patient", **LINEAR[kind]))
    model = module.Multiscale.model_validate(metadata)
    path = stored(tmp_path, metadata)
    for level in range(2):
        image = io.read(path, level=level, system="patient")
        (first,) = model.datasets[level].coordinateTransformations
        (second,) = model.coordinateTransformations
        for index in np.random.default_rng(0).integers(0, image.shape, (10, 4)):
            expected = first.transform_point(index.tolist())
            try:
                expected = second.transform_point(expected)
            except NotImplementedError:
                # The models have no byDimension; it is what it is made of.
                expected = (expected[0], *(TURNED @ expected[:0:-1] + [1, 2, 3]))
            # The models give all axes, the channel first.
            assert np.allclose(image.index_to_physical(index), expected[1:], atol=1e-9)
        assert image.frame == "LPS"
        assert image.unit == ("mm",) * 3


def test_the_intrinsic_system_is_read_by_default(tmp_path: Path) -> None:
    path = stored(tmp_path, entry(to("patient", **LINEAR["affine"])))
    image = io.read(path)
    assert image.dims == ("c", "z", "y", "x")
    assert image.spacing.tolist() == [3, 2, 0.5]
    assert image.origin.tolist() == [1.5, -3, 0.25]
    assert image.frame is None
    assert image.attrs["ome"]["systems"] == {
        "read": "intrinsic", "others": ["alone", "intrinsic", "patient"]
    }  # fmt: skip
    io.write(tmp_path / "again.ome.zarr", image)
    assert io.read(tmp_path / "again.ome.zarr").geometry.isclose(image.geometry)


def test_a_transformation_is_followed_backwards_and_on(tmp_path: Path) -> None:
    forward = stored(tmp_path, entry(to("patient", **LINEAR["affine"])))
    (tmp_path / "b").mkdir()
    inverse = np.linalg.inv(np.vstack([SHEAR, [0, 0, 0, 0, 1]]))[:-1].tolist()
    backward = {"type": "affine", "affine": inverse, "input": {"name": "patient"},
                "output": {"name": "intrinsic"}}  # fmt: skip
    other = stored(tmp_path / "b", entry(backward))
    first, second = (io.read(p, system="patient").geometry for p in (forward, other))
    assert first.isclose(second, tolerance=1e-6)


def test_a_matrix_in_an_array_of_its_own(tmp_path: Path) -> None:
    plain = io.read(stored(tmp_path, entry(to("patient", type="affine", affine=SHEAR))),
                    system="patient")  # fmt: skip
    (tmp_path / "b").mkdir()
    path = stored(tmp_path / "b", entry(to("patient", type="affine", path="matrices/one")))
    matrix = zarr.open_group(str(path)).create_array("matrices/one", shape=(4, 5), dtype="f8")
    matrix[...] = SHEAR
    assert io.read(path, system="patient").geometry == plain.geometry


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "field": (to("patient", type="displacements", path="f"), "patient", "displacements"),
    "coordinates": (to("patient", type="coordinates", path="f"), "patient", "coordinates"),
    "no way": (to("patient", **LINEAR["affine"]), "alone", "no linear transformation"),
    "unknown": (to("patient", **LINEAR["affine"]), "atlas", "no coordinate system 'atlas'"),
    "lengths": (to("patient", type="scale", scale=[1, 2]), "patient", "4 finite numbers"),
    "channels": (
        to("patient", type="affine", affine=np.c_[np.ones((4, 4)) + np.eye(4), [0] * 4].tolist()),
        "patient", "channels",
    ),
    "turn": (to("patient", type="rotation", rotation=[[2.0] * 4] * 4), "patient", "orthogonal"),
    "twice": (to("patient", type="mapAxis", mapAxis=[0, 1, 1, 2]), "patient", "once"),
    "absent": (to("patient", type="affine", path="nowhere"), "patient", "cannot be read"),
    "flat": (
        to("patient", type="affine", affine=np.zeros((4, 5)).tolist()), "patient", "not valid"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_grid_is_refused_by_name(name: str, tmp_path: Path) -> None:
    further, system, reason = REFUSED[name]
    path = stored(tmp_path, entry(further))
    with pytest.raises(FormatError, match=reason):
        io.read(path, system=system)
    if name not in ("lengths", "twice"):
        assert io.read(path).shape == SHAPE  # what is not asked for does not matter


def test_older_versions_have_no_systems_and_scenes_are_no_image(tmp_path: Path) -> None:
    import spatial_duck as sd

    io.write(tmp_path / "a.ome.zarr", sd.SpatialArray(np.zeros((4, 5)), unit="mm"))
    with pytest.raises(FormatError, match="coordinate systems"):
        io.read(tmp_path / "a.ome.zarr", system="physical")
    group = zarr.create_group(str(tmp_path / "scene.zarr"), zarr_format=3)
    group.attrs["ome"] = {"version": "0.6", "scene": {}}
    with pytest.raises(FormatError, match="scene of several images"):
        io.read(tmp_path / "scene.zarr")


@pytest.mark.slow
@pytest.mark.fact("units", "OME-Zarr", "read", "ngff-zarr")
@pytest.mark.filterwarnings("ignore")
def test_what_ngff_zarr_writes(tmp_path: Path) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr")
    if "0.6" not in {str(v) for v in getattr(ngff_zarr, "SUPPORTED_VERSIONS", ())}:
        pytest.skip("this ngff-zarr does not write OME-Zarr 0.6")
    scale, start = {"z": 2.0, "y": 1.0, "x": 0.5}, {"z": 1.0, "y": -3.0, "x": 5.0}
    values = np.arange(8 * 16 * 16, dtype="u2").reshape(8, 16, 16)
    image = ngff_zarr.to_ngff_image(
        values, dims=("z", "y", "x"), scale=scale, translation=start,
        axes_units=dict.fromkeys("zyx", "millimeter"),
    )  # fmt: skip
    levels = ngff_zarr.to_multiscales(image, scale_factors=[2])
    ngff_zarr.to_ngff_zarr(str(tmp_path / "a.zarr"), levels, version="0.6")
    for n, level in enumerate(levels.images):
        read = io.read(tmp_path / "a.zarr", level=n)
        assert read.spacing.tolist() == [level.scale[d] for d in "zyx"]
        assert read.origin.tolist() == [level.translation[d] for d in "zyx"]
        assert read.unit == ("mm",) * 3
    assert np.array_equal(np.asarray(io.read(tmp_path / "a.zarr")), values)
