"""Regions and surfaces in world units: ellipsoids that are known, scikit-image as referee."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import measure
from spatial_duck.errors import GeometryError
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._strategies import directions, geometries

RNG = np.random.default_rng(6)
CENTER = np.array([40.0, -10.0, 25.0])


def around(direction: Any, spacing: Any, radius: float) -> tuple[sd.Geometry, np.ndarray]:
    """Return a grid around `CENTER`, and the offsets of its voxels from there."""
    steps = np.asarray(direction) * spacing
    reach = np.ceil(radius * np.sqrt(np.diag(np.linalg.inv(steps.T @ steps)))).astype(int) + 1
    geometry = sd.Geometry(
        2 * reach + 1, spacing, CENTER - steps @ (reach + 0.2), direction,
        ("z", "y", "x")[-len(reach) :], world=("x", "y", "z"), frame="RAS", unit="mm",
    )  # fmt: skip
    index = np.moveaxis(np.indices(geometry.shape), 0, -1)
    return geometry, geometry.index_to_physical(index) - CENTER


@settings(max_examples=12)
@given(st.data())
def test_an_ellipsoid_has_its_volume_axes_and_center(data: st.DataObject) -> None:
    """Turned any way, on grids that are oblique, sheared and flipped."""
    direction = data.draw(directions(3, 3))
    spacing = [data.draw(st.floats(0.6, 1.2)) for _ in range(3)]
    turned = data.draw(directions(3, 3, sheared=False))
    semi = np.array([9.0, 6.0, 4.0])
    geometry, offset = around(direction, spacing, 9.5)
    inside = (((offset @ turned) / semi) ** 2).sum(-1) <= 1
    table = measure.regionprops(sd.SpatialArray(inside.astype(np.uint8) * 5, geometry))
    assert table["label"].tolist() == [5]
    assert table["volume"][0] == pytest.approx(4 / 3 * math.pi * semi.prod(), rel=0.03)
    np.testing.assert_allclose(table["centroid"][0], CENTER, atol=0.15)
    np.testing.assert_allclose(table["axis_lengths"][0], 2 * semi, rtol=0.04)
    along = abs(table["principal_axes"][0] @ turned)
    np.testing.assert_allclose(along, np.eye(3), atol=0.12)
    reach = np.sqrt(((turned * semi) ** 2).sum(axis=1))
    np.testing.assert_allclose(
        table["bounds"][0], [CENTER - reach, CENTER + reach], atol=2.0 * max(spacing)
    )


@settings(max_examples=30)
@given(st.data())
def test_the_table_from_positions_alone(data: st.DataObject) -> None:
    """Every column, told from the place of each voxel and its eight corners."""
    dims = data.draw(st.permutations("xyz"))[: data.draw(st.integers(1, 3))]
    geometry = data.draw(geometries(dims=dims, min_side=1, max_side=5, units=False))
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    marks = random.integers(-1, 4, geometry.shape)
    values = random.random(geometry.shape)
    table = measure.regionprops(sd.SpatialArray(marks, geometry), values)
    place = geometry.index_to_physical(np.moveaxis(np.indices(marks.shape), 0, -1))
    steps = geometry.direction * geometry.spacing
    n = len(dims)
    corners = (np.moveaxis(np.indices((2,) * n), 0, -1).reshape(-1, n) - 0.5) @ steps.T
    size = math.sqrt(np.linalg.det(steps.T @ steps))
    assert table["label"].tolist() == [i for i in np.unique(marks) if i]
    for row, number in enumerate(table["label"]):
        points, mine = place[marks == number], values[marks == number]
        close = {"rtol": 1e-9, "atol": 1e-8 * (1 + abs(points).max())}
        size_name = ("length", "area", "volume")[n - 1]
        np.testing.assert_allclose(table[size_name][row], len(points) * size)
        np.testing.assert_allclose(table["centroid"][row], points.mean(axis=0), **close)
        covariance = np.cov(points.T, bias=True).reshape(len(points.T), -1) + steps @ steps.T / 12
        expected = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance)[::-1][:n], 0) * (n + 2)) * 2
        np.testing.assert_allclose(table["axis_lengths"][row], expected, rtol=1e-5, atol=1e-6)
        all_corners = (points[:, None] + corners).reshape(-1, points.shape[-1])
        np.testing.assert_allclose(
            table["bounds"][row], [all_corners.min(axis=0), all_corners.max(axis=0)], **close
        )
        np.testing.assert_allclose(table["mean_intensity"][row], mine.mean())
        np.testing.assert_allclose(table["std_intensity"][row], mine.std(), atol=1e-7)
        assert table["min_intensity"][row] == mine.min()
        assert table["max_intensity"][row] == mine.max()
    assert table["n_voxels"].sum() == (marks != 0).sum()


def test_scikit_image_on_an_axis_aligned_grid() -> None:
    skimage = pytest.importorskip("skimage.measure", reason="needs scikit-image")
    marks = RNG.integers(0, 3, (9, 10))
    values = RNG.random((9, 10))
    theirs = skimage.regionprops(marks, values, spacing=(2.0, 0.5))
    table = measure.regionprops(
        sd.SpatialArray(marks, spacing=(2.0, 0.5)), sd.SpatialArray(values, spacing=(2.0, 0.5))
    )
    for row, region in enumerate(theirs):
        assert table["label"][row] == region.label
        np.testing.assert_allclose(table["area"][row], region.area)
        np.testing.assert_allclose(table["centroid"][row], region.centroid)
        np.testing.assert_allclose(table["mean_intensity"][row], region.intensity_mean)
        np.testing.assert_allclose(
            table["equivalent_diameter"][row], region.equivalent_diameter_area
        )


@pytest.mark.parametrize("chunks", [(4, 3, 5), (2, 7, 8)])
def test_the_table_of_chunks_is_that_of_the_whole(chunks: Any) -> None:
    dask = pytest.importorskip("dask", reason="needs dask")
    marks, values = RNG.integers(0, 6, (6, 7, 8)), RNG.random((6, 7, 8)).astype("f4")
    marks[values > 0.99] = 40
    geometry = sd.Geometry((6, 7, 8), spacing=(2.0, 0.7, 1.0), origin=(5.0, 6.0, 7.0))
    labels, image = sd.SpatialArray(marks, geometry), sd.SpatialArray(values, geometry)
    expected = measure.regionprops(labels, image)
    with assert_lazy():
        lazy = [
            measure.regionprops(labels.chunk(chunks), image.chunk((5, 5, 3))),
            measure.regionprops(labels.chunk(chunks), image),
            measure.regionprops(labels, image.chunk(chunks)),
        ]
    for found in dask.compute(*lazy):
        assert found.keys() == expected.keys()
        for name, column in expected.items():
            np.testing.assert_allclose(found[name], column, rtol=1e-9, atol=1e-7, err_msg=name)
        for name in ("volume", "centroid", "bounds", "axis_lengths", "max_intensity"):
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("voxels", [1, 60, 150])
@pytest.mark.parametrize("kind", ["u1", ">i2", "u8"])
def test_the_table_of_slabs_is_that_of_the_whole(voxels: int, kind: str, monkeypatch: Any) -> None:
    marks, values = RNG.integers(0, 6, (6, 7, 8)).astype(kind), RNG.random((6, 7, 8))
    marks[values > 0.99] = np.iinfo(kind).max
    geometry = sd.Geometry((6, 7, 8), spacing=(2.0, 0.7, 1.0), origin=(5.0, 6.0, 7.0))
    labels, image = sd.SpatialArray(marks, geometry), sd.SpatialArray(values, geometry)
    expected = [measure.regionprops(x, y) for x, y in ((labels, image), (labels[:0], image[:0]))]
    monkeypatch.setattr("spatial_duck.ndimage._running.SLAB_VOXELS", voxels)
    found = [measure.regionprops(x, y) for x, y in ((labels, image), (labels[:0], image[:0]))]
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, column in other.items():
            assert one[name].dtype == column.dtype
            np.testing.assert_allclose(one[name], column, rtol=1e-9, atol=1e-7, err_msg=name)


def test_a_table_takes_no_more_memory_for_a_longer_volume() -> None:
    tracemalloc.start()
    peaks = []
    try:
        for length in (64, 512):
            labels = sd.SpatialArray(np.ones((length, 128, 128), np.uint8))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            measure.regionprops(labels)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert peaks[1] < 3 * peaks[0]  # of eight times as many voxels: of a slab, not of the whole


def test_pandas_takes_the_table() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    labels = sd.SpatialArray([[0, 1, 1], [2, 1, 0]], spacing=(2, 0.5), unit="mm")
    table = measure.regionprops(labels)
    frame = pandas.DataFrame(table)
    assert list(frame["label"]) == [1, 2]
    assert list(frame["centroid_y"]) == table["centroid"][:, 0].tolist()
    assert table["bounds"].shape == (2, 2, 2)
    assert list(frame["bounds_high_x"]) == table["bounds"][:, 1, 1].tolist()
    assert table.units["area"] == "mm^2"


def test_no_regions_make_an_empty_table() -> None:
    table = measure.regionprops(sd.SpatialArray(np.zeros((3, 4), int)), np.ones((3, 4)))
    assert {len(column) for column in table.values()} == {0}
    assert table["centroid"].shape == (0, 2)
    assert table["bounds"].shape == (0, 2, 2)


def test_what_cannot_be_measured_is_refused() -> None:
    frames = sd.SpatialArray(np.ones((2, 3, 4), int), dims=("t", "y", "x"))
    with pytest.raises(sd.GeometryError, match=r"'t'.*index them with an integer"):
        measure.regionprops(frames)
    assert measure.regionprops(frames[1])["centroid"].tolist() == [[1.0, 1.0, 1.5]]
    with pytest.raises(sd.GeometryLossError, match="reshape"):
        measure.regionprops(sd.SpatialArray(np.ones((4, 4), int)).reshape(2, 8))
    with pytest.raises(TypeError, match="float64"):
        measure.regionprops(sd.SpatialArray(np.ones((4, 4))))
    elsewhere = sd.SpatialArray(np.ones((3, 4)), spacing=2)
    with pytest.raises(sd.GeometryMismatchError, match="spacing"):
        measure.regionprops(sd.SpatialArray(np.ones((3, 4), int)), elsewhere)


# --- surfaces -----------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.data())
def test_vertices_lie_on_the_sphere(data: st.DataObject) -> None:
    pytest.importorskip("skimage", reason="needs scikit-image")
    direction = data.draw(directions(3, 3))
    spacing = [data.draw(st.floats(0.5, 1.5)) for _ in range(3)]
    geometry, offset = around(direction, spacing, 7.5)
    image = sd.SpatialArray(6.0 - np.linalg.norm(offset, axis=-1), geometry)
    surface = measure.marching_cubes(image, 0.0)
    distance = np.linalg.norm(surface.vertices - CENTER, axis=1)
    np.testing.assert_allclose(distance, 6.0, atol=0.2)
    assert measure.surface_area(surface) == pytest.approx(4 * math.pi * 36, rel=0.04)
    a, b, c = (surface.vertices[surface.faces[:, i]] - CENTER for i in range(3))
    # Outwards everywhere, in a world of any handedness.
    volume = (a * np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * math.pi * 216, rel=0.06)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "f4", "?", "i8"])
def test_surfaces_of_masks(dtype: str) -> None:
    pytest.importorskip("skimage", reason="needs scikit-image")
    mask = np.zeros((6, 7, 8), dtype)
    mask[2:4, 2:5, 3:6] = 1
    surface = measure.marching_cubes(sd.SpatialArray(mask, spacing=(3.0, 1.0, 1.0)), 0.5)
    np.testing.assert_allclose(surface.vertices.min(axis=0), [4.5, 1.5, 2.5])
    np.testing.assert_allclose(surface.vertices.max(axis=0), [10.5, 4.5, 5.5])


def test_surfaces_need_a_volume_in_memory() -> None:
    pytest.importorskip("skimage", reason="needs scikit-image")
    for shape in ((4, 4), (1, 4, 4)):
        with pytest.raises(sd.GeometryError, match="three space axes of 2 voxels"):
            measure.marching_cubes(sd.SpatialArray(np.ones(shape)))
    da = pytest.importorskip("dask.array", reason="needs dask")
    with pytest.raises(TypeError, match=r"image\.compute\(\)"):
        measure.marching_cubes(sd.SpatialArray(da.ones((4, 4, 4))))


# --- far from zero ------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e8, -1e12])
@pytest.mark.parametrize("far", [0, 150_000])
def test_neither_place_nor_offset_costs_digits(chunked: bool, offset: float, far: int) -> None:
    """A region says the same wherever it lies and whatever is added to its values."""
    rng = np.random.default_rng(0)
    marks = np.zeros((3, far + 40), np.int32)
    marks[:, far:] = rng.integers(0, 4, (3, 40))
    noise = np.zeros(marks.shape)
    noise[:, far:] = rng.normal(size=(3, 40))
    g = sd.Geometry(marks.shape, (2.0, 0.5), direction=[[1, 0.6], [0, 0.8]])
    labels = sd.SpatialArray(marks, g)
    values = offset + noise
    if chunked:
        da = pytest.importorskip("dask.array", reason="needs dask")
        labels = labels.replace(da.from_array(marks, chunks=(2, 7 + far // 3)))
    table = measure.regionprops(labels, values)
    table = table.compute() if chunked else table
    near = measure.regionprops(sd.SpatialArray(marks[:, far:], g[:, far:]), noise[:, far:])
    np.testing.assert_allclose(table["axis_lengths"], near["axis_lengths"], rtol=1e-12)
    np.testing.assert_allclose(table["centroid"], near["centroid"], rtol=1e-12)
    # Of the values as they are rounded, whose differences are exact.
    std = [np.std(values[marks == n] - offset) for n in table["label"]]
    np.testing.assert_allclose(table["std_intensity"], std, rtol=1e-6)
    np.testing.assert_allclose(table["mean_intensity"] - offset, near["mean_intensity"],
                               atol=4 * np.spacing(abs(offset)) + 1e-12)  # fmt: skip


@pytest.mark.parametrize("kind", ["i8", "u8", ">i8"])
@pytest.mark.parametrize("offset", [0, 2**53, 2**60 + 1, -(2**62) - 3, 2**63 - 50])
@pytest.mark.parametrize("chunked", [False, True])
def test_integers_beyond_floats_keep_their_spread(kind: str, offset: int, chunked: bool) -> None:
    """Whatever is added to them, and by either way to measure them."""
    if offset < 0 and kind == "u8":
        pytest.skip("has no negative numbers")
    small = np.random.default_rng(0).integers(0, 40, (5, 8))
    values = (small.astype(object) + offset).astype(kind)
    marks = np.arange(40).reshape(5, 8) % 3
    std = [small[marks == n].std() for n in (1, 2)]
    labels: Any = sd.SpatialArray(marks)
    image: Any = sd.SpatialArray(values)
    if chunked:
        labels, image = labels.chunk(3), image.chunk(3)
    found = sd.ndimage.standard_deviation(image, labels, [1, 2])
    np.testing.assert_allclose(np.asarray(found), std, rtol=1e-9)
    table = measure.regionprops(labels, image)
    table = table.compute() if chunked else table
    np.testing.assert_allclose(table["std_intensity"], std, rtol=1e-9)


@pytest.mark.parametrize("kind", ["u1", ">i2", "u8", "i8", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize("chunked", [False, True])
def test_extreme_values_keep_their_type(kind: str, chunked: bool) -> None:
    dtype = np.dtype(kind)
    info = np.iinfo(dtype) if dtype.kind in "iu" else None
    high = info.max if info else 60000.0 if dtype.kind == "f" else True
    low = info.max - 1 if info else 0
    values = np.array([high, low, high, low], dtype)
    labels: Any = sd.SpatialArray(np.array([1, 1, 2, 3]))
    table = measure.regionprops(labels.chunk(2) if chunked else labels, values)
    table = table.compute() if chunked else table
    assert table["max_intensity"].dtype == dtype.newbyteorder("=")
    assert table["max_intensity"].tolist() == [high, high, low]
    assert table["min_intensity"].tolist() == [low, high, low]


def test_nan_spreads_in_its_region_alone() -> None:
    values = np.array([1.0, np.nan, 3.0, 5.0])
    table = measure.regionprops(sd.SpatialArray(np.array([1, 1, 2, 2])), values)
    for name in ("mean_intensity", "std_intensity", "min_intensity", "max_intensity"):
        assert np.isnan(table[name]).tolist() == [True, False]


@pytest.mark.parametrize("step", [0, -1, 1.5, "2", None], ids=repr)
def test_steps_are_whole_numbers(step: Any) -> None:
    image = sd.SpatialArray(RNG.random((4, 5, 6)))
    with pytest.raises(ValueError, match="step_size must be a whole number of 1 or more"):
        measure.marching_cubes(image, 0.5, step_size=step)


def test_steps_that_miss_a_surface_are_named() -> None:
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4, 4] = True
    with pytest.raises(sd.GeometryError, match=r"no surface .* 5 voxels apart"):
        measure.marching_cubes(sd.SpatialArray(mask), step_size=5)


@pytest.mark.library
def test_tensors_are_measured() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    marks = RNG.integers(0, 3, (5, 6, 7)).astype("u1")
    labels, tensor = (
        sd.SpatialArray(x, spacing=(2, 1, 1)) for x in (marks, torch.from_numpy(marks))
    )
    np.testing.assert_equal(dict(measure.regionprops(tensor)), dict(measure.regionprops(labels)))
    one, other = (measure.marching_cubes(x, 1.5) for x in (tensor, labels))
    np.testing.assert_array_equal(one.vertices, other.vertices)


@pytest.mark.parametrize("level", [None, 0.5, 7.0])
def test_surfaces_that_are_not_there_are_named(level: float | None) -> None:
    pytest.importorskip("skimage", reason="needs scikit-image")
    for value in (1.0, np.nan, np.inf):
        with pytest.raises(GeometryError, match=r"marching_cubes: .* surface"):
            measure.marching_cubes(sd.SpatialArray(np.full((4, 5, 6), value)), level)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_surfaces_go_round_what_is_not_finite(bad: float) -> None:
    pytest.importorskip("skimage", reason="needs scikit-image")
    data = np.random.default_rng(0).normal(size=(6, 7, 8))
    whole = measure.marching_cubes(sd.SpatialArray(data), 0.0)
    data[2, 3, 4] = bad
    surface = measure.marching_cubes(sd.SpatialArray(data), 0.0)
    assert np.isfinite(surface.vertices).all()
    assert 100 < len(surface.vertices) < len(whole.vertices)
    mine = {tuple(v) for v in np.round(surface.vertices, 6)}
    assert mine <= {tuple(v) for v in np.round(whole.vertices, 6)}
    default = measure.marching_cubes(sd.SpatialArray(data))
    assert len(default.vertices) > 100
