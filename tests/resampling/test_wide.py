"""Splines, Lanczos, labels, smoothing, displacement fields and composites, against SimpleITK."""

from __future__ import annotations

import pickle

import dask.array as da
import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.resampling import _engines as engines
from spatial_duck.resampling import _numpy_engine as numpy_engine
from tests.resampling import reference

RNG = np.random.default_rng(0)
C, S = np.cos(0.3), np.sin(0.3)
IN_PLANE = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]])
TURNED = IN_PLANE @ [[1, 0, 0], [0, C, -S], [0, S, C]]
STRAIGHT = np.eye(3)[::-1]
SOURCE = reference.itk_geometry((11, 13, 17), (2, 1.1, 0.9), (1, 2, 3), STRAIGHT)
TARGETS = {
    "scaled": reference.itk_geometry((19, 15, 14), (1.1, 0.7, 1.3), (0, 2.1, 1.9), STRAIGHT),
    "oblique": reference.itk_geometry(
        (19, 15, 14), (1.1, 0.7, 1.3), (2, 4.1, 4.9), TURNED[:, ::-1]
    ),
    "turned in plane": reference.itk_geometry(
        (11, 15, 14), (2, 0.7, 1.3), (2, 4.1, 3), IN_PLANE[:, ::-1]
    ),
}
DATA = RNG.normal(size=SOURCE.shape)
OUTSIDE = -9.0
VECTORS = RNG.normal(size=(5, 6, 7, 3))
FIELD = sd.Geometry(
    (5, 6, 7, 3), (5, 4, 3), (0, 1, 2), STRAIGHT, ("z", "y", "x", None),
    world=("x", "y", "z"), frame="LPS",
)  # fmt: skip
MATRIX = np.eye(4)
MATRIX[:3] += RNG.normal(size=(3, 4)) * 0.1
POINTS = RNG.uniform(-3, 25, (200, 3))


def by_itk(target, interpolation, transform=None, data=DATA):
    """Resample the data with SimpleITK."""
    return reference.by_itk(data, SOURCE, target, interpolation, OUTSIDE, transform)


def itk_field():
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(VECTORS, isVector=True)
    image.SetSpacing((3, 4, 5))
    image.SetOrigin((0, 1, 2))
    return sitk.DisplacementFieldTransform(image)


def itk_affine():
    import SimpleITK as sitk

    affine = sitk.AffineTransform(3)
    affine.SetMatrix(MATRIX[:3, :3].ravel())
    affine.SetTranslation(MATRIX[:3, 3])
    return affine


def itk_composite():
    import SimpleITK as sitk

    composite = sitk.CompositeTransform(3)
    for part in (itk_field(), itk_affine(), itk_field(), itk_affine()):
        composite.AddTransform(part)
    return composite


def our_field(lazy=False):
    vectors = da.from_array(VECTORS, chunks=3) if lazy else VECTORS
    return sd.DisplacementField(sd.SpatialArray(vectors, FIELD), bound=5 if lazy else None)


def our_composite(lazy=False):
    affine = sd.Affine(MATRIX, sd.World(("x", "y", "z"), None, "LPS"))
    return sd.Composite(affine, our_field(lazy), affine, our_field(lazy))


BENT = {"field": (our_field, itk_field), "composite": (our_composite, itk_composite)}


def resampled(target, data=DATA, **options):
    return sd.resample(sd.SpatialArray(data, SOURCE), target, fill=OUTSIDE, **options)


@pytest.fixture(params=["compiled", "numpy"])
def engine(request, monkeypatch):
    """Both engines in memory."""
    if request.param == "numpy":
        monkeypatch.setattr(engines, "engine_for", lambda *arrays, **options: numpy_engine)
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("interpolation", ["cubic", "quintic", "lanczos"])
def test_agrees_with_simpleitk(engine, name, interpolation):
    """To 1e-6 of the range; Lanczos weights of ITK do not sum to 1, ours do."""
    expected = by_itk(TARGETS[name], interpolation)
    if interpolation == "lanczos":
        weight = by_itk(TARGETS[name], interpolation, data=np.ones(SOURCE.shape))
        expected = np.where(expected == OUTSIDE, OUTSIDE, expected / weight)
    result = resampled(TARGETS[name], interpolation=interpolation)
    np.testing.assert_allclose(result.data, expected, rtol=0, atol=1e-6 * np.ptp(DATA))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("interpolation", ["cubic", "quintic", "lanczos", "label"])
@pytest.mark.parametrize("dtype", ["float64", "int16", "uint8"])
def test_chunks_agree_with_the_whole(name, interpolation, dtype):
    """To 1e-6 of the range for splines; the others to the bit."""
    data = np.round(DATA * 20 + 100).astype(dtype)
    image = sd.SpatialArray(data, SOURCE)
    lazy = sd.SpatialArray(da.from_array(data, chunks=(4, 5, 7)), SOURCE)
    whole = sd.resample(image, TARGETS[name], interpolation=interpolation)
    parts = sd.resample(lazy, TARGETS[name], interpolation=interpolation)
    assert whole.dtype == parts.dtype == data.dtype
    off = np.abs(parts.compute().data.astype(float) - whole.data)
    exact = interpolation in ("lanczos", "label")
    # An integer may be rounded the other way where a spline passes close to a half.
    limit = 0 if exact else 1e-6 * np.ptp(data.astype(float)) + (dtype != "float64")
    assert off.max() <= limit
    assert (off > 1e-3).mean() < 0.01


@pytest.mark.parametrize("kind", BENT)
def test_points_map_as_in_simpleitk(kind):
    """Composites apply the last first, as ITK's do; other worlds map the same points."""
    ours, theirs = BENT[kind][0](), BENT[kind][1]()
    expected = np.array([theirs.TransformPoint(p) for p in POINTS])
    np.testing.assert_allclose(ours(POINTS), expected, atol=1e-9)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ours))(POINTS), ours(POINTS))
    signs = np.array([1, -1, -1.0])
    ras = ours.to_world(sd.World(("z", "y", "x"), None, "RAS"))
    np.testing.assert_allclose(ras(POINTS[:, ::-1] * signs), expected[:, ::-1] * signs, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("kind", BENT)
def test_bent_grids_agree_with_simpleitk(engine, kind, interpolation, name):
    ours, theirs = BENT[kind][0](), BENT[kind][1]()
    expected = by_itk(TARGETS[name], interpolation, theirs)
    result = resampled(TARGETS[name], interpolation=interpolation, transform=ours)
    np.testing.assert_allclose(result.data, expected, rtol=0, atol=1e-6 * np.ptp(DATA))


@pytest.mark.slow
@pytest.mark.parametrize("kind", BENT)
def test_bent_grids_in_chunks_equal_the_whole(kind):
    """With a lazy image, a lazy field and both: to the bit."""
    whole = resampled(TARGETS["oblique"], transform=BENT[kind][0]()).data
    lazy = da.from_array(DATA, chunks=(4, 5, 7))
    for data, transform in (
        (lazy, BENT[kind][0]()), (lazy, BENT[kind][0](lazy=True)), (DATA, BENT[kind][0](lazy=True)),
    ):  # fmt: skip
        result = resampled(TARGETS["oblique"], data, transform=transform)
        np.testing.assert_array_equal(np.asarray(result), whole)


def test_labels_are_those_with_most_weight(engine):
    """By hand: the linear weight of each label around each point, the largest wins."""
    labels = RNG.integers(0, 4, SOURCE.shape).astype(np.uint8)
    target = TARGETS["oblique"]
    image = sd.SpatialArray(labels, SOURCE)
    weights = np.stack(
        [
            sd.resample(image.replace((labels == k).astype(float)), target, fill=k == 0).data
            for k in range(4)
        ]
    )
    best = np.sort(weights, axis=0)
    clear = best[-1] - best[-2] > 1e-9
    result = sd.resample(image, target, interpolation="label").data
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(result[clear], weights.argmax(axis=0)[clear])


def test_antialias_removes_what_the_new_grid_cannot_hold():
    """A wave above the new Nyquist frequency vanishes, one far below it stays."""
    x = np.arange(256)
    for period, kept in ((3.0, 0.02), (64.0, 0.9)):
        image = sd.SpatialArray(np.cos(2 * np.pi * x / period), spacing=1.0)
        smooth = sd.resample(image, spacing=4.0, antialias=True).data[8:-8]
        assert (np.abs(smooth).max() < kept) == (period == 3.0)
    image = sd.SpatialArray(np.cos(2 * np.pi * x / 3.0), spacing=1.0)
    assert np.abs(sd.resample(image, spacing=4.0).data).max() > 0.4


def test_mask_says_what_lies_inside():
    result, inside = resampled(TARGETS["oblique"], mask=True, interpolation="cubic")
    assert inside.dtype == bool
    assert inside.geometry.isclose(result.geometry)
    np.testing.assert_array_equal(inside.data, result.data != OUTSIDE)


def test_explain_says_what_will_be_read():
    class Untouched(np.ndarray):
        def __getitem__(self, key):
            raise AssertionError("explain reads nothing")

    lazy = da.from_array(DATA, chunks=(4, 5, 7))
    for data in (DATA.view(Untouched), lazy):
        text = resampled(TARGETS["oblique"], data, explain=True, interpolation="cubic")
        assert "cubic" in text
        assert "reads" in text


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
def test_constant_stays_constant(interpolation):
    flat = np.full(SOURCE.shape, 7.0)
    result, inside = resampled(TARGETS["oblique"], flat, interpolation=interpolation, mask=True)
    np.testing.assert_allclose(result.data[inside.data], 7.0, rtol=1e-12)
