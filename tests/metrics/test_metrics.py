"""Agreement of segmentations: against brute force, on every grid, in memory and chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import spatial_duck as sd
from spatial_duck import metrics
from spatial_duck.errors import GeometryError, GeometryMismatchError
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._strategies import geometries

if TYPE_CHECKING:
    from tests.conftest import BackendCase

OVERLAPS = {"dice": metrics.dice, "jaccard": metrics.jaccard, "volume": metrics.volume_similarity}
SURFACES: dict[str, Any] = {
    "hausdorff": metrics.hausdorff,
    "hd95": lambda a, b, labels=None: metrics.hausdorff(a, b, labels, percentile=95),
    "assd": metrics.average_surface_distance,
    "surface dice": lambda a, b, labels=None: metrics.surface_dice(a, b, 1.5, labels),
}


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)


def _brute(a: np.ndarray, b: np.ndarray, g: sd.Geometry) -> dict[str, float]:
    """Every number from the definitions, with all pairs of surface points."""
    both, total = (a & b).sum(), a.sum() + b.sum()
    nan, out = float("nan"), {}
    out["dice"] = 2 * both / total if total else nan
    out["jaccard"] = both / (a | b).sum() if total else nan
    out["volume"] = 1 - abs(int(a.sum()) - int(b.sum())) / total if total else nan
    p, q = (g.index_to_physical(np.argwhere(_surface(m))) for m in (a, b))
    if len(p) and len(q):
        apart = np.linalg.norm(p[:, None] - q[None], axis=-1)
        one, other = apart.min(axis=1), apart.min(axis=0)
    else:
        one, other = np.full(len(p), np.inf), np.full(len(q), np.inf)
    every = np.concatenate([one, other])
    missing = len(every) and np.isinf(every).any()
    ends = [x for x in (one, other) if len(x)]
    out["hausdorff"] = max(x.max() for x in ends) if ends else nan
    hd95 = [np.inf if missing else np.percentile(x, 95) for x in ends]
    out["hd95"] = max(hd95) if hd95 else nan
    out["assd"] = every.mean() if len(every) else nan
    out["surface dice"] = (every <= 1.5 * (1 + 1e-6)).mean() if len(every) else nan
    return out


@pytest.mark.slow
@settings(max_examples=40)
@given(st.data())
def test_everything_is_what_brute_force_says(data: st.DataObject) -> None:
    dims = data.draw(st.permutations("xyz"))[: data.draw(st.integers(1, 3))]
    g = data.draw(geometries(dims=dims, min_side=1, max_side=6, units=False))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    share = data.draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    a, b = rng.random(g.shape) < share, rng.random(g.shape) < 0.5
    wanted = _brute(a, b, g)
    one, other = sd.SpatialArray(a, g), sd.SpatialArray(b, g)
    for name, function in {**OVERLAPS, **SURFACES}.items():
        np.testing.assert_allclose(function(one, other), wanted[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", [*OVERLAPS, *SURFACES])
def test_labels_are_measured_one_by_one(name: str) -> None:
    rng = np.random.default_rng(3)
    g = sd.Geometry((7, 8, 9), (2.5, 1.0, 0.5))
    a, b = rng.integers(0, 4, (2, *g.shape), dtype="i2")
    b[b == 3] = 0
    function = {**OVERLAPS, **SURFACES}[name]
    found = function(sd.SpatialArray(a, g), sd.SpatialArray(b.astype("u1"), g))
    assert list(found) == [1, 2, 3]
    for label, value in found.items():
        np.testing.assert_allclose(value, _brute(a == label, b == label, g)[name], rtol=1e-9)
    some = function(sd.SpatialArray(a, g), sd.SpatialArray(b, g), labels=[2, 9])
    assert some[2] == found[2]
    assert np.isnan(some[9])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OVERLAPS, *SURFACES])
def test_chunks_give_what_the_whole_gives(name: str, backend: BackendCase) -> None:
    if backend.kind not in ("dask", "zarr2", "zarr3"):
        pytest.skip("in memory, which the others here are")
    rng = np.random.default_rng(5)
    labels = ndimage.gaussian_filter(rng.normal(size=(2, 13, 11, 10)), (0, 2, 2, 2))
    a, b = (labels > 0).astype("u1") + (labels > 0.05)
    g = sd.Geometry(a.shape, (2.0, 1.0, 0.7), direction=[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    function = {**OVERLAPS, **SURFACES}[name]
    with assert_lazy():
        lazy = function(sd.SpatialArray(backend.make(a), g), sd.SpatialArray(backend.make(b), g))
    assert lazy.compute() == function(sd.SpatialArray(a, g), sd.SpatialArray(b, g))


def test_distances_come_in_the_order_of_voxels_and_in_world_units() -> None:
    a, b = np.zeros((2, 8, 4, 4), bool)
    a[1, 1, 1] = b[4, 1, 1] = True
    one, other = (sd.SpatialArray(m, spacing=(2.5, 0.75, 0.5), unit="mm") for m in (a, b))
    assert [d.tolist() for d in metrics.surface_distances(one, other)] == [[7.5], [7.5]]
    assert metrics.surface_dice(one, other, "0.8 cm") == 1
    assert metrics.surface_dice(one, other, "7 mm") == 0


def test_other_grids_axes_and_types_are_refused() -> None:
    mask = np.zeros((4, 5), bool)
    image = sd.SpatialArray(mask, spacing=2.0)
    for function in (*OVERLAPS.values(), *SURFACES.values()):
        with pytest.raises(GeometryMismatchError):
            function(image, image.replace(origin=(1.0, 0.0)))
        with pytest.raises(GeometryError, match="not space axes"):
            function(sd.SpatialArray(mask, dims=("t", "x")), mask)
        with pytest.raises(TypeError, match=r"masks or integer labels|cannot work on values"):
            function(image, np.zeros((4, 5)))
    for wrong in (0, 101, "95", None, np.nan):
        with pytest.raises(ValueError, match="percentile must be a number"):
            metrics.hausdorff(image, image, percentile=wrong)


LABEL_TYPES = ("u1", "i2", ">u2", "i4", "u8", ">i8", "i8")


@pytest.mark.parametrize("name", [*OVERLAPS, *SURFACES])
@given(
    st.sampled_from(LABEL_TYPES), st.sampled_from(LABEL_TYPES), st.integers(0, 99),
    st.sampled_from([None, [0], [1, 0], [3, 9]]),
)  # fmt: skip
@settings(max_examples=10)
def test_any_type_of_label_and_any_label_is_measured(
    name: str, one: str, other: str, seed: int, labels: Any
) -> None:
    """Label k of an image is measured as the mask of its voxels: 0 too, and the largest."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, (2, 4, 5, 6))
    most = [int(np.iinfo(kind).max) for kind in (one, other)]
    values = [np.array([0, 1, min(most), top], np.dtype(kind).newbyteorder("="))
              for top, kind in zip(most, (one, other), strict=True)]  # fmt: skip
    x, y = values[0].astype(one)[a], values[1].astype(other)[b]
    x.flags.writeable = y.flags.writeable = False
    g = sd.Geometry(a.shape, (2.5, 1.0, 0.5))
    function = {**OVERLAPS, **SURFACES}[name]
    names = sorted({*x.ravel().tolist(), *y.ravel().tolist()} - {0}) if labels is None else labels
    found = function(sd.SpatialArray(x, g), sd.SpatialArray(y, g), labels=labels)
    assert list(found) == names
    for label, value in found.items():
        masks = [sd.SpatialArray(np.array(v.tolist(), object) == label, g) for v in (x, y)]
        masks = [mask.astype(bool) for mask in masks]
        np.testing.assert_equal(value, function(*masks), err_msg=str(label))


@pytest.mark.parametrize("name", [*OVERLAPS, *SURFACES])
def test_a_mask_beside_labels_is_a_mask(name: str) -> None:
    function = {**OVERLAPS, **SURFACES}[name]
    a, b = np.random.default_rng(0).random((2, 5, 6, 7)) < 0.4
    one, other = (sd.SpatialArray(m, spacing=(2, 1, 1)) for m in (a, b))
    expected = function(one, other)
    assert function(one, other.astype("u1")) == function(one.astype("i8"), other) == expected
    with pytest.raises(ValueError, match=r"the other has the labels \[255\]"):
        function(one, other.astype("u1") * 255)
    assert function(one, other.astype("u1") * 255, labels=[1])[1] == function(one, other & False)
    with pytest.raises(ValueError, match=r"labels= asks for \[255\]"):
        function(one, other.astype("u1") * 255, labels=[1, 255])


@pytest.mark.parametrize("name", [*OVERLAPS, *SURFACES])
@pytest.mark.parametrize("wrong", [1, [1.0], ["liver"], "liver", [None]], ids=repr)
def test_labels_wanted_are_whole_numbers(name: str, wrong: Any) -> None:
    image = sd.SpatialArray(np.ones((3, 4), "u1"))
    with pytest.raises(TypeError, match=r"labels must be a sequence of whole numbers"):
        {**OVERLAPS, **SURFACES}[name](image, image, wrong)


@pytest.mark.parametrize("tolerance", [0, 1, 1e300, np.inf])
def test_what_is_not_there_is_within_no_tolerance(tolerance: float) -> None:
    mask = np.zeros((3, 4, 5), bool)
    mask[1, 1, 1] = True
    some, none = (sd.SpatialArray(m, unit="mm") for m in (mask, mask & False))
    assert metrics.surface_dice(some, some, tolerance) == 1
    assert metrics.surface_dice(some, none, tolerance) == 0
    assert metrics.surface_dice(none, some, tolerance) == 0
    assert np.isnan(metrics.surface_dice(none, none, tolerance))


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")  # of its own arguments
def test_the_distances_of_monai() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    monai = pytest.importorskip("monai.metrics", reason="needs monai")
    rng = np.random.default_rng(2)
    a, b = ndimage.gaussian_filter(rng.normal(size=(2, 16, 18, 20)), (0, 2, 2, 2)) > 0.02
    spacing = (2.5, 1.0, 0.5)
    one, other = (sd.SpatialArray(m, spacing=spacing) for m in (a, b))
    x, y = (torch.from_numpy(m[None, None].astype("f4")) for m in (b, a))
    options = {"include_background": True, "spacing": spacing}
    theirs = monai.compute_hausdorff_distance(x, y, **options).item()
    np.testing.assert_allclose(metrics.hausdorff(one, other), theirs, rtol=1e-5)
    theirs = monai.compute_average_surface_distance(x, y, symmetric=True, **options).item()
    np.testing.assert_allclose(metrics.average_surface_distance(one, other), theirs, rtol=1e-5)
    theirs = monai.compute_dice(x, y, include_background=True).item()
    np.testing.assert_allclose(metrics.dice(one, other), theirs, rtol=1e-6)


@pytest.mark.library
@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # surface-distance, of SciPy
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
@pytest.mark.parametrize("radius, shift", [(18, 0.0), (20, 3.0)])
def test_the_distances_of_balls(spacing: Any, radius: float, shift: float) -> None:
    """The largest distance is that of surface-distance, and the others are nearer to the truth.

    It puts points at the corners between voxels, where the stairs of two surfaces come closer than
    the surfaces do.
    """
    library = pytest.importorskip("surface_distance", reason="needs surface-distance")
    grid = sd.Geometry([int(60 / s) for s in spacing], spacing)
    place = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
    a, b = (
        np.linalg.norm(place - (30, 30 + y, 30), axis=-1) < r for y, r in ((0, 20), (shift, radius))
    )
    one, other = (sd.SpatialArray(m, grid) for m in (a, b))
    theirs = library.compute_surface_distances(a, b, spacing)
    found = metrics.hausdorff(one, other)
    np.testing.assert_allclose(found, library.compute_robust_hausdorff(theirs, 100), rtol=1e-6)
    cosines = np.linspace(-1, 1, 10_001)  # of points that are even over a ball
    exact = abs(np.sqrt(20**2 + shift**2 - 2 * 20 * shift * cosines) - radius)
    mean = np.mean(library.compute_average_surface_distance(theirs))
    assert abs(metrics.average_surface_distance(one, other) - exact.mean()) < abs(
        mean - exact.mean()
    )
    for tolerance in (1.0, 1.5):
        share = library.compute_surface_dice_at_tolerance(theirs, tolerance)
        wanted = (exact <= tolerance).mean()
        assert abs(metrics.surface_dice(one, other, tolerance) - wanted) < abs(share - wanted)
