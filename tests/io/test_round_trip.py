"""Any image goes through any format with every voxel in place, or an error says what is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.testing import _strategies as strategies
from tests.effort import examples

if TYPE_CHECKING:
    from pathlib import Path

for _package in ("nibabel", "nrrd", "zarr", "tifffile", "h5py"):
    pytest.importorskip(_package, reason=f"needs {_package}")


class Case(NamedTuple):
    """A way to write, and the largest displacement in voxels that its header's digits cause."""

    name: str
    options: dict[str, Any]
    tolerance: float = 1e-6
    time: bool = True
    any: bool = False  # holds each image as it is
    types: str = ""  # that others do not hold, and of these, that this does not


CASES = [
    Case("a.nii", {}, 1e-3, types="c8"),
    Case("a.nii.gz", {"version": 2}, types="c8"),
    Case("a.nrrd", {}),
    Case("b.nhdr", {"compress": True}),
    Case("a.mha", {}),
    Case("c.mhd", {"compress": True}),
    Case("a.ome.zarr", {"oblique": "keep"}, types="c8"),
    Case("b.zarr", {"oblique": "keep", "version": "0.4"}, types="c8"),
    Case("a.tif", {"oblique": "keep"}, types="c8 -i8 ->u8"),
    Case("a.npy", {}, any=True, types="c8"),
    Case("a.h5", {}, any=True, types="c8"),
    Case("b.h5", {"compress": True}, any=True, types="c8"),
    Case("a.vti", {}, time=False),
    Case("b.vti", {"compress": True}, time=False),
]
IDS = [case.name for case in CASES]


def points_by_number(
    image: sd.SpatialArray, like: sd.SpatialArray, frame: str | None
) -> dict[str, np.ndarray]:
    """Return coordinates of each voxel number, by world axis, in a frame and units of `like`."""
    g = image.geometry
    # Without space axes a frame turns nothing.
    if frame not in (None, g.frame) and set(g.world.axes) & set(SPACE_AXES):
        g = g.to_frame(frame)
    units = dict(zip(like.world.axes, like.unit, strict=True))
    g = g.to_unit({n: u for n, u in units.items() if u is not None and n in g.world.axes})
    numbers = np.asarray(image).ravel()
    index = np.indices(image.shape).reshape(image.ndim, -1).T
    points = g.index_to_physical(index)[np.argsort(numbers)]
    return dict(zip(g.world.axes, points.T, strict=True))


def assert_same_voxels(back: sd.SpatialArray, image: sd.SpatialArray, tolerance: float) -> None:
    assert np.array_equal(np.sort(np.asarray(back).ravel()), np.sort(np.asarray(image).ravel()))
    named = {n for n in image.dims if n is not None}
    assert named <= set(back.dims)
    assert back.frame == image.frame or (back.frame and image.frame)
    before, after = (points_by_number(i, image, back.frame) for i in (image, back))
    rows = [r for r, n in enumerate(image.world.axes) if n in SPACE_AXES]
    steps = [s for s, c in zip(image.spacing, image.direction.T, strict=True) if c[rows].any()]
    for name, values in after.items():
        expected = before.get(name, 0.0)  # a world axis that the format adds is at 0
        if name == "t" and "t" in image.dims:
            limit = image.spacing[[image.dims[i] for i in image.geometry.sampled_axes].index("t")]
        else:
            limit = min(steps, default=1.0)
        assert np.all(abs(values - expected) <= tolerance * limit + 1e-12 * abs(values))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=IDS)
@settings(max_examples=examples(50))
@given(data=st.data())
def test_any_geometry_comes_back_or_is_refused(
    case: Case, data: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = data.draw(strategies.images())
    if "-i8" in case.types and image.dtype == np.int64:
        image = image.astype("i4")
    folder: Path = tmp_path_factory.mktemp("files")
    path = folder / case.name
    try:
        io.write(path, image, **case.options)
    except (GeometryLossError, sd.FrameError):
        assert not list(folder.iterdir())
        return
    except FormatError:
        assert image.size == 0 or image.ndim == 0
        assert not list(folder.iterdir())
        return
    back = io.read(path)
    assert_same_voxels(back, image, case.tolerance)
    found = io.info(path)
    assert (found.geometry, found.dtype) == (back.geometry, back.dtype)


#: Every one of these must go through, so that refusing all would not pass.
WANTED: list[tuple[str, dict[str, Any]]] = [
    ("volume", {"shape": (3, 4, 5)}),
    ("time", {"shape": (2, 3, 4, 5), "dims": ("t", "z", "y", "x")}),
    ("nibabel's order", {"shape": (5, 4, 3, 2), "dims": ("x", "y", "z", "t")}),
    ("channels", {"shape": (3, 4, 5, 2), "dims": ("z", "y", "x", "c")}),
    ("channels first", {"shape": (2, 3, 4, 5), "dims": ("c", "z", "y", "x")}),
    ("time and channels", {"shape": (2, 3, 3, 4, 5), "dims": ("t", "c", "z", "y", "x")}),
    ("one of each", {"shape": (1, 1, 3, 1, 1), "dims": ("t", "c", "z", "y", "x")}),
    ("plane", {"shape": (4, 5), "dims": ("y", "x")}),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("what, fields", WANTED, ids=[w for w, _ in WANTED])
@pytest.mark.parametrize("oblique", [False, True], ids=["aligned", "sheared"])
def test_common_images_are_held(
    case: Case, what: str, fields: dict[str, Any], oblique: bool, tmp_path: Path
) -> None:
    shape = fields["shape"]
    dims = fields.get("dims", ("z", "y", "x"))
    sampled = [n for n in dims if n in "txyz"]
    direction = np.eye(len(sampled))
    if oblique:
        n = sum(name in "xyz" for name in sampled)
        space = [i for i, name in enumerate(sampled) if name in "xyz"]
        turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5][:n]))[0] @ np.triu(np.full((n, n), 0.2), 1)
        turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5][:n]))[0] + turn
        direction[np.ix_(space, space)] = turn / np.hypot.reduce(turn, axis=0)
    unit = {n: "s" if n == "t" else "mm" for n in sampled}
    image = sd.SpatialArray(
        np.arange(np.prod(shape), dtype=np.int32).reshape(shape),
        spacing=[1.25 + i for i in range(len(sampled))],
        origin=[-10.5 * i for i in range(len(sampled))],
        direction=direction,
        dims=dims,
        world=sd.World(sampled, unit, "LPS"),
    )
    path = tmp_path / case.name
    if "t" in dims and not case.time:
        with pytest.raises(GeometryLossError, match="no time axis"):
            io.write(path, image, **case.options)
        return
    io.write(path, image, **case.options)
    back = io.read(path)
    assert_same_voxels(back, image, case.tolerance)
    assert back.dtype == image.dtype
    if set(back.dims) == set(image.dims) and len(back.world.axes) == len(image.world.axes):
        back = io.read(path, dims=image.dims)
        assert np.array_equal(np.asarray(back), np.asarray(image))
        assert image.geometry.isclose(back.geometry, case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_slice_of_an_oblique_volume_keeps_its_place(case: Case, tmp_path: Path) -> None:
    turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
    volume = sd.SpatialArray(
        np.arange(60).reshape(3, 4, 5).astype("f4"), spacing=(3, 2, 1), origin=(5, 6, 7),
        direction=turn, frame="LPS", unit="mm",
    )  # fmt: skip
    for key in (1, (slice(None), 2), (..., 3)):
        io.write(tmp_path / case.name, volume[key], overwrite=True, **case.options)
        back = io.read(tmp_path / case.name)
        assert back.ndim == (2 if case.any else 3)
        assert_same_voxels(back, volume[key], case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("ndim", [3, 2])
def test_an_image_at_one_time_keeps_it(case: Case, ndim: int, tmp_path: Path) -> None:
    """One frame of a series is written; where there is no time, the advice to leave it out does."""
    turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
    direction = np.zeros((4, 4))
    direction[:3, 1:], direction[3, 0] = turn, 1.0
    series = sd.SpatialArray(
        np.arange(120).reshape(2, 3, 4, 5).astype("f4"), dims=("t", "z", "y", "x"),
        spacing=(2.5, 3, 2, 1), origin=(5, 6, 7, 10), direction=direction,
        world=sd.World(("x", "y", "z", "t"), ("mm", "mm", "mm", "s"), "LPS"),
    )  # fmt: skip
    image = series[1] if ndim == 3 else series[1, 2]
    path = tmp_path / case.name
    if not case.time:
        with pytest.raises(GeometryLossError, match=r"lies at t = 12.5 s; leave the time out") as e:
            io.write(path, image, **case.options)
        assert "image.replace(geometry=image.geometry.to_world(('x', 'y', 'z')))" in str(e.value)
        assert not list(tmp_path.iterdir())
        image = image.replace(geometry=image.geometry.to_world(("x", "y", "z")))
    io.write(path, image, **case.options)
    back = io.read(path)
    assert set(back.world.axes) == set(image.world.axes)
    assert_same_voxels(back, image, case.tolerance)


DTYPES = ("u1", "i1", "<i2", ">i2", "u2", ">i4", "u4", "i8", ">u8", ">f4", "f8", "?", "f2", "c8")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_do_not_change(case: Case, dtype: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [7, 100, 127]]).astype(dtype)[:, ::-1]
    image = sd.SpatialArray(values[None], frame="LPS", unit="mm")
    types = case.types.split()
    if (dtype == "c8" and dtype not in types) or "-" + dtype in types:
        with pytest.raises(FormatError, match="astype"):
            io.write(tmp_path / case.name, image, **case.options)
        return
    io.write(tmp_path / case.name, image, **case.options)
    back = io.read(tmp_path / case.name, dims=image.dims)
    assert np.array_equal(np.asarray(back), values[None])
    kept = np.dtype(dtype).kind in "iuc" or np.dtype(dtype).itemsize >= 4
    assert not kept or back.dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("=")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_images_are_written_and_read(case: Case, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("dask", reason="needs dask")
    values = np.arange(7 * 11 * 13, dtype="i4").reshape(7, 11, 13)
    image = sd.SpatialArray(values, spacing=(2, 1, 1), frame="LPS", unit="mm")
    if kind == "dask":
        source = image.chunk((3, 4, 5))
    else:
        io.write(tmp_path / "source.zarr", image, chunks=4)
        source = io.read(tmp_path / "source.zarr")
    done = []
    io.write(
        tmp_path / case.name, source[:, ::-1], overwrite=True,
        progress=lambda now, total: done.append((now, total)), **case.options,
    )  # fmt: skip
    back = io.read(tmp_path / case.name, dims=image.dims)
    assert np.array_equal(np.asarray(back), values[:, ::-1])
    assert back.geometry.isclose(image.geometry[:, ::-1], 1e-6)
    assert done[-1][0] == done[-1][1]
    later = io.read(tmp_path / case.name, dims=image.dims, lazy=True)
    assert np.array_equal(np.asarray(later), values[:, ::-1])
    now = io.read(tmp_path / case.name, dims=image.dims, lazy=False)
    assert isinstance(now.data, np.ndarray)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_missing_folder_is_named_before_anything_is_written(case: Case, tmp_path: Path) -> None:
    image = sd.SpatialArray(np.zeros((2, 3, 4), "u1"), frame="LPS", unit="mm")
    with pytest.raises(FileNotFoundError, match=r"no folder .*not there'; create it first"):
        io.write(tmp_path / "not there" / case.name, image, **case.options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_option_that_a_format_does_not_have_is_refused_with_those_that_it_has(
    case: Case, tmp_path: Path
) -> None:
    image = sd.SpatialArray(np.zeros((2, 3, 4), "u1"), frame="LPS", unit="mm")
    for option, near in [("compresss", "compress"), ("obliqe", "oblique"), ("levls", "levels")]:
        with pytest.raises(
            TypeError, match=rf"^write: [a-z0-9-]+ has no option {option}="
        ) as refused:
            io.write(tmp_path / case.name, image, **case.options, **{option: 1})
        assert not list(tmp_path.iterdir())
        listed = str(refused.value).split(" It has ")[1]
        assert (f"{near}=" in listed) == (f"did you mean {near}=?" in str(refused.value))
        # What is listed is taken, and nothing else.
        assert {f"{name}=" for name in case.options} <= set(listed.split(", "))
    io.write(tmp_path / case.name, image, **case.options)
    for function in (io.read, io.info):
        with pytest.raises(TypeError, match=r"^read: [a-z0-9-]+ has no option levl="):
            function(tmp_path / case.name, levl=0)


def test_a_pyramid_is_written_by_its_finest_level(tmp_path: Path) -> None:
    """What the message advises gives the same levels."""
    image = sd.SpatialArray(np.arange(64.0).reshape(8, 8), unit="mm")
    levels: Any = sd.pyramid(image, levels=3)
    with pytest.raises(TypeError, match=r"write\(path, pyramid\[0\], levels=3\)"):
        io.write(tmp_path / "a.ome.zarr", levels)
    io.write(tmp_path / "a.ome.zarr", levels[0], levels=3)
    assert io.info(tmp_path / "a.ome.zarr").levels == 3
    for n, level in enumerate(levels):
        back = io.read(tmp_path / "a.ome.zarr", level=n)
        assert np.array_equal(np.asarray(back), np.asarray(level))
        assert back.geometry.isclose(level.geometry, 1e-9)


def test_the_path_comes_first(tmp_path: Path) -> None:
    image: Any = sd.SpatialArray(np.zeros((2, 3, 4)))
    with pytest.raises(TypeError, match=r"write\(path, image\) takes the path first"):
        io.write(image, tmp_path / "a.nii")
