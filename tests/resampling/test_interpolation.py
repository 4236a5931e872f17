"""B-splines, Lanczos and labels, smoothing, masks and plans in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import make_plan, resample
from spatial_duck.resampling._interpolations import blur
from spatial_duck.testing import _strategies as strategies
from tests.resampling import reference

WIDE = ("cubic", "quintic", "lanczos")
C, S = np.cos(0.3), np.sin(0.3)
TURN = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, C, -S], [0, S, C]]
SOURCE = reference.itk_geometry((11, 13, 17), (2, 1.1, 0.9), (1, 2, 3), np.eye(3)[::-1])
TARGETS = {
    "axes": reference.itk_geometry((19, 15, 14), (1.1, 0.7, 1.3), (0, 2.1, 1.9), np.eye(3)[::-1]),
    "turned": reference.itk_geometry((19, 15, 14), (1.1, 0.7, 1.3), (2, 4.1, 4.9), TURN[:, ::-1]),
    "in plane": reference.itk_geometry(
        (11, 15, 14), (2, 0.7, 1.3), (2, 4.1, 3),
        np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]])[:, ::-1],
    ),
    "slice": reference.itk_geometry((1, 15, 14), (1, 0.7, 1.3), (2, 4.1, 4.9), TURN[:, ::-1])[0],
}  # fmt: skip
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=SOURCE.shape)


def _by_itk(data, source, target, interpolation, fill):
    """SimpleITK's values; for Lanczos divided by what it makes of ones, which ours need not be."""
    found = reference.by_itk(data, source, target, interpolation, fill)
    if interpolation == "lanczos":
        ones = reference.by_itk(np.ones(data.shape), source, target, interpolation, np.nan)
        found = np.where(np.isnan(ones), fill, found / ones)
    return found


@st.composite
def _grids(draw):
    """Two overlapping 3-D grids: oblique, sheared, flipped or plain."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    aligned = draw(st.booleans())
    grids = []
    for _ in range(2):
        # On axes of 2 and 3 voxels ITK reflects indices once, which is not enough.
        shape = tuple(draw(st.sampled_from((1, 4, 5, 6, 7, 8, 9))) for _ in range(3))
        direction = draw(strategies.directions(3, 3, oblique=not aligned, sheared=not aligned))
        spacing = rng.uniform(0.5, 2.5, 3)
        origin = rng.uniform(-1, 1, 3) - direction @ (spacing * (np.array(shape) - 1) / 2)
        grids.append(reference.itk_geometry(shape, spacing, origin, direction))
    return (*grids, rng.normal(size=grids[0].shape))


@pytest.mark.slow
@given(_grids(), st.sampled_from(WIDE))
@settings(max_examples=60)
def test_agrees_with_simpleitk(case, interpolation):
    pytest.importorskip("SimpleITK", reason="needs SimpleITK as referee")
    source, target, data = case
    result = resample(sd.SpatialArray(data, source), target, interpolation=interpolation, fill=7)
    expected = _by_itk(data, source, target, interpolation, 7)
    _, margin = reference.by_points(data, source, target, "nearest", 7)
    scale = max(float(np.ptp(data)), 1.0)
    assert np.abs(result.data - expected)[margin > 1e-9].max(initial=0) <= 1e-6 * scale


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("interpolation, order", [("cubic", 3), ("quintic", 5)])
def test_few_voxels_are_mirrored_as_in_scipy(n, interpolation, order):
    scipy_ndimage = pytest.importorskip("scipy.ndimage", reason="needs SciPy as referee")
    values, start = RNG.normal(size=n), -0.45
    target = Geometry((40,), (n - 0.1) / 40, (start,))
    points = start + np.arange(40) * target.spacing[0]
    result = resample(sd.SpatialArray(values), target, interpolation=interpolation)
    expected = scipy_ndimage.map_coordinates(values, [points], order=order, mode="mirror")
    np.testing.assert_allclose(result.data, expected, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["axes", "turned", "in plane"])
@pytest.mark.parametrize("interpolation", WIDE)
@pytest.mark.parametrize("dtype, limit", [("float32", 2e-6), ("int16", 0.51), ("uint8", 0.51)])
def test_other_types(name, interpolation, dtype, limit):
    """Rounded once, and saturating where a spline overshoots."""
    pytest.importorskip("SimpleITK", reason="needs SimpleITK as referee")
    data = (RNG.integers(0, 2, SOURCE.shape) * 255).astype(dtype)
    result = resample(
        sd.SpatialArray(data, SOURCE), TARGETS[name], interpolation=interpolation, fill=7
    )
    expected = _by_itk(data.astype(float), SOURCE, TARGETS[name], interpolation, 7)
    if dtype != "float32":
        expected = np.clip(expected, np.iinfo(dtype).min, np.iinfo(dtype).max)
        assert expected.max() == 255 or dtype == "int16"
    else:
        limit *= 255 * 4
    assert np.abs(result.data - expected).max() <= limit


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", WIDE)
@pytest.mark.parametrize("dims", ["czyx", "zyxc", "zcyx"])
@pytest.mark.parametrize("name", TARGETS)
def test_plain_axes_and_complex_values(interpolation, dims, name):
    axis = dims.index("c")
    data = np.stack([DATA, DATA[::-1], DATA + 1j * DATA[:, ::-1]], axis=axis)
    direction = SOURCE.direction
    geometry = Geometry(data.shape, SOURCE.spacing, SOURCE.origin, direction, dims=tuple(dims),
                        world=SOURCE.world)  # fmt: skip
    result = resample(sd.SpatialArray(data, geometry), TARGETS[name], interpolation=interpolation)
    place = result.dims.index("c")
    for k in range(3):
        part = np.take(data, k, axis)
        expected = [
            resample(sd.SpatialArray(p, SOURCE), TARGETS[name], interpolation=interpolation).data
            for p in (np.ascontiguousarray(part.real), np.ascontiguousarray(part.imag))
        ]
        np.testing.assert_allclose(
            np.take(result.data, k, place), expected[0] + 1j * expected[1], atol=1e-12
        )


@pytest.mark.parametrize("interpolation", ["linear", *WIDE])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("antialias", [False, True])
def test_a_constant_stays(interpolation, name, antialias):
    image = sd.SpatialArray(np.full(SOURCE.shape, 3.5), SOURCE)
    result = resample(
        image, TARGETS[name], interpolation=interpolation, fill=3.5, antialias=antialias
    )
    np.testing.assert_allclose(result.data, 3.5, rtol=1e-12)


@pytest.mark.parametrize("interpolation, degree", [("linear", 1), ("cubic", 3), ("quintic", 5)])
def test_polynomials_are_met(interpolation, degree):
    """Away from the ends, where mirroring bends them."""
    line = Geometry((80,), 0.5, dims=("x",))
    x = np.arange(80) * 0.5
    target = Geometry((90,), 0.07, (16.03,), dims=("x",))
    values = ((x - 18) / 3) ** degree
    result = resample(sd.SpatialArray(values, line), target, interpolation=interpolation)
    expected = ((target.origin[0] + np.arange(90) * 0.07 - 18) / 3) ** degree
    np.testing.assert_allclose(result.data, expected, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["linear", *WIDE])
def test_voxels_centres_have_their_values(interpolation):
    target = SOURCE.replace(shape=(6, 7, 9), spacing=SOURCE.spacing * 2)
    turned = np.transpose(sd.SpatialArray(DATA, SOURCE), (2, 0, 1)).geometry
    image = sd.SpatialArray(DATA, SOURCE)
    result = resample(image, target, interpolation=interpolation)
    np.testing.assert_allclose(result.data, DATA[::2, ::2, ::2], atol=1e-9)
    np.testing.assert_allclose(
        resample(image, turned, interpolation=interpolation).data, DATA.transpose(2, 0, 1)
    )


@pytest.mark.parametrize("interpolation", ["linear", *WIDE])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_kernel(interpolation, name, bad):
    """Far from it values are as they were; at it they show it."""
    data = DATA.copy()
    data[5, 6, 7] = bad
    place = SOURCE.index_to_physical((5, 6, 7))
    result = resample(sd.SpatialArray(data, SOURCE), TARGETS[name], interpolation=interpolation)
    clean = resample(sd.SpatialArray(DATA, SOURCE), TARGETS[name], interpolation=interpolation)
    index = np.moveaxis(np.indices(result.shape), 0, -1)
    apart = SOURCE.physical_to_index(result.geometry.index_to_physical(index)) - (5, 6, 7)
    reach = {"linear": 1, "cubic": 2, "quintic": 3, "lanczos": 5}[interpolation]
    outside = (np.abs(apart) > reach + 1e-9).any(axis=-1)
    assert np.isfinite(result.data[outside]).all()
    at = resample(sd.SpatialArray(data, SOURCE), _around(place), interpolation=interpolation)
    assert not np.isfinite(at.data[0, 0, 0])
    if interpolation != "lanczos":  # what stands in for it is felt a few voxels further
        tolerance = 0 if interpolation == "linear" else 0.3
        assert np.abs(result.data - clean.data)[outside].max() <= tolerance


def _around(place):
    return reference.itk_geometry((2, 2, 2), 0.01, place, np.eye(3))


@pytest.mark.parametrize("interpolation", WIDE)
@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_a_neighbour_without_weight_has_no_part(interpolation, shift):
    """On a line of voxel centres only the voxels of that line count."""
    data = DATA.copy()
    data[4] = np.nan
    data[6] = np.nan
    target = SOURCE[5:6, 2:9, 2:9]
    target = target.replace(origin=target.origin + target.direction[:, 2] * shift)
    image = sd.SpatialArray(data, SOURCE)
    assert np.isfinite(resample(image, target, interpolation=interpolation).data).all()


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["linear", *WIDE])
@pytest.mark.parametrize("name", TARGETS)
def test_edge_values_go_on(interpolation, name):
    image = sd.SpatialArray(DATA, SOURCE)
    result, met = resample(
        image, TARGETS[name], interpolation=interpolation, fill="edge", mask=True
    )
    index = np.moveaxis(np.indices(result.shape), 0, -1)
    position = SOURCE.physical_to_index(result.geometry.index_to_physical(index))
    points = np.clip(position, 0, np.array(SOURCE.shape) - 1)
    expected = [
        resample(image, _around(SOURCE.index_to_physical(p)), interpolation=interpolation,
                 fill="edge").data[0, 0, 0]
        for p in points.reshape(-1, 3)[::97]
    ]  # fmt: skip
    np.testing.assert_allclose(result.data.ravel()[::97], expected, atol=1e-9)
    assert met.data.any()
    assert not met.data.all()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_mask_is_where_no_fill_is(name, kind):
    data = DATA
    if kind == "dask":
        data = pytest.importorskip("dask.array", reason="needs dask").from_array(DATA, chunks=5)
    result, met = resample(sd.SpatialArray(data, SOURCE), TARGETS[name], fill=-99, mask=True)
    assert met.geometry == result.geometry
    assert met.dtype == bool
    np.testing.assert_array_equal(np.asarray(met.data), np.asarray(result.data) != -99)


# --- smoothing ------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("interpolation", ["linear", "cubic", "quintic", "lanczos"])
def test_a_chirp_above_the_new_nyquist_is_gone(turned, interpolation):
    """Waves that the new grid cannot hold do not come back as others."""
    n, step = 256, 4.0
    source = Geometry((n, 64), 1.0)
    if turned:
        c, s = np.cos(0.02), np.sin(0.02)
        target = Geometry((60, 12), (step, step), (4, 4), [[c, -s], [s, c]])
    else:
        target = Geometry((n // 4, 16), (step, step), (1.5, 1.5))
    position = np.arange(n)[:, None] + np.zeros(64)
    for frequency in (0.6 / step, 0.9 / step, 0.45):  # cycles a voxel; the new Nyquist is 0.5/step
        wave = sd.SpatialArray(np.sin(2 * np.pi * frequency * position), source)
        options = {"interpolation": interpolation, "fill": "edge"}
        smooth = resample(wave, target, antialias=True, **options).data[3:-3, 2:-2]
        rough = resample(wave, target, **options).data[3:-3, 2:-2]
        assert np.abs(smooth).max() <= 0.04
        if interpolation != "linear":
            assert np.abs(rough).max() > 0.2
    slow = sd.SpatialArray(np.sin(2 * np.pi * 0.05 / step * position), source)
    kept = resample(slow, target, antialias=True, interpolation=interpolation, fill="edge")
    assert np.abs(kept.data[3:-3, 2:-2]).max() > 0.9


@pytest.mark.parametrize("interpolation, order", [("linear", 1), ("cubic", 3)])
def test_smoothing_is_that_of_scipy(interpolation, order):
    scipy_ndimage = pytest.importorskip("scipy.ndimage", reason="needs SciPy as referee")
    data = RNG.normal(size=(40, 30))
    source, target = Geometry((40, 30)), Geometry((14, 30), (2.5, 1.0), (3.2, 0))
    result = resample(sd.SpatialArray(data, source), target, interpolation=interpolation,
                      antialias=True)  # fmt: skip
    mode = "nearest" if order == 1 else "mirror"
    smooth = scipy_ndimage.gaussian_filter1d(data, blur(2.5), 0, mode=mode, truncate=4)
    points = np.meshgrid(3.2 + 2.5 * np.arange(14), np.arange(30), indexing="ij")
    expected = scipy_ndimage.map_coordinates(smooth, points, order=order, mode=mode)
    np.testing.assert_allclose(result.data, expected, atol=2e-3)


def test_nothing_is_smoothed_where_voxels_become_smaller():
    image = sd.SpatialArray(DATA, SOURCE)
    plain = resample(image, spacing=0.5, interpolation="cubic")
    np.testing.assert_array_equal(
        resample(image, spacing=0.5, interpolation="cubic", antialias=True).data, plain.data
    )


def test_smoothing_needs_new_values():
    with pytest.raises(ValueError, match="label"):
        resample(sd.SpatialArray(DATA), spacing=2, interpolation="nearest", antialias=True)


# --- labels ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool", ">u2"])
@pytest.mark.parametrize("name", TARGETS)
def test_label_has_most_of_the_linear_weight(dtype, name):
    """The referee interpolates each label's own mask."""
    labels = RNG.integers(0, 2 if dtype == "bool" else 4, SOURCE.shape).astype(dtype)
    image = sd.SpatialArray(labels, SOURCE)
    result = resample(image, TARGETS[name], interpolation="label", fill=1)
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    names = np.unique(labels)
    shares = np.stack(
        [resample(sd.SpatialArray((labels == k) * 1.0, SOURCE), TARGETS[name], fill=k == 1).data
         for k in names]
    )  # fmt: skip
    top = np.sort(shares, axis=0)
    clear = top[-1] - top[-2] > 1e-9
    assert clear.mean() > 0.5
    assert (result.data.astype(float) == names[shares.argmax(axis=0)])[clear].all()


def test_labels_of_the_most_remain_where_voxels_become_larger():
    """A voxel's label is that of most of the voxels that it stands for, not of the one it hits."""
    data = np.full((32, 32), 7, "u1")
    data[1::4, 1::4] = 3
    data[2::4, 2::4] = 5
    image = sd.SpatialArray(data)
    coarse = resample(image, shape=(8, 8), interpolation="label", antialias=True)
    assert (coarse.data == 7).all()
    assert set(np.unique(resample(image, shape=(16, 16), interpolation="nearest").data)) > {7}


def test_ties_go_to_the_smallest():
    image = sd.SpatialArray(np.array([5, 2, 9], "i2"))
    assert resample(image, Geometry((2,), 1.0, (0.5,)), interpolation="label").data.tolist() == [
        2, 2,
    ]  # fmt: skip


# --- chunks ---------------------------------------------------------------------------------


BIG = reference.itk_geometry((45, 52, 61), (2, 1.1, 0.9), (0, 0, 0), np.eye(3)[::-1])
BIG_TARGETS = {
    "axes": reference.itk_geometry((60, 45, 40), (1.5, 1.2, 1.4), (3, 2, 3), np.eye(3)[::-1]),
    "turned": reference.itk_geometry((50, 45, 40), (1.6, 1.1, 1.4), (9, 2, 3), TURN[:, ::-1]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BIG_TARGETS)
@pytest.mark.parametrize("interpolation", [*WIDE, "label"])
@pytest.mark.parametrize("antialias", [False, True])
def test_chunks_have_the_values_of_the_whole(name, interpolation, antialias):
    """Chunks smaller than what the filters look at."""
    da = pytest.importorskip("dask.array", reason="needs dask")
    data = np.random.default_rng(1).normal(size=BIG.shape)
    if interpolation == "label":
        data = (data > 0.5) * 1 + (data > 1) * 1
    options = {"interpolation": interpolation, "antialias": antialias, "fill": 2}
    whole = resample(sd.SpatialArray(data, BIG), BIG_TARGETS[name], **options)
    lazy = sd.SpatialArray(da.from_array(data, chunks=(20, 11, 17)), BIG)
    result = resample(lazy, BIG_TARGETS[name], **options).data.compute(scheduler="synchronous")
    assert np.abs(result - whole.data).max() <= 1e-8 * np.ptp(data)


# --- plans ----------------------------------------------------------------------------------


def test_explain_says_what_is_read_and_computed():
    image = sd.SpatialArray(DATA, SOURCE)
    text = resample(image, TARGETS["turned"], interpolation="cubic", explain=True)
    assert "64 neighbours" in text
    assert text.count("B-spline prefilter") == 3
    assert "view" in resample(image, SOURCE[::-1], explain=True)
    far = SOURCE.replace(origin=SOURCE.origin + 1e4)
    assert "reads nothing" in resample(image, far, explain=True)
    half = resample(image, SOURCE[:, :, 4:9], interpolation="lanczos", explain=True)
    assert "reads [0:11, 0:13, 4:9]" in half


def test_a_part_is_made_of_a_part_of_the_coefficients():
    """One slice of a large volume does not filter all of it."""
    plan = make_plan(BIG, BIG_TARGETS["axes"][20:21], interpolation="cubic")
    assert plan.halo == (16, 16, 16)
    (first, stop), *_ = plan.input_box(tuple((0, n) for n in plan.shape))
    assert stop - first == 4
