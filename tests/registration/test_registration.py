"""`register` finds motions that are known, says when it does not, and reads only a coarse level."""

from __future__ import annotations

import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FrameError, GeometryError, RegistrationError
from spatial_duck.geometry import World
from spatial_duck.registration import METRICS
from spatial_duck.registration._simpleitk_engine import _refined
from spatial_duck.transforms import Affine
from tests.registration.cases import MODELS, check_bspline, error_of, moved_image, phantom, rigid

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")

#: Searches of real volumes take seconds: one metric each time, all in long runs.
SHORT = [m if m == "mattes" else pytest.param(m, marks=pytest.mark.long) for m in METRICS]


# --- motions that are known -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("metric", SHORT)
def test_rigid_motion_of_a_real_mr_from_a_4_mm_level(metric: str, data_file: Any) -> None:
    brain = sd.read(data_file("nrrd/brain1_image.nrrd"))
    truth = rigid(brain.center, brain.world)
    # Other voxels at the ends: the bins of the two images are not the same voxels.
    moving = moved_image(brain, truth)[1:, 2:, 3:]
    found = sd.register(brain, moving, "rigid", metric=metric, at=4)
    assert found.converged
    assert found.log[-1].spacing == pytest.approx((6.5, 3.90625, 3.90625))
    assert error_of(found, truth, brain) < 0.2


@pytest.mark.slow
def test_rigid_motion_of_an_image_that_was_resampled(data_file: Any) -> None:
    """Mutual information; the values were interpolated, by SimpleITK; a RAS image."""
    anatomy = sd.read(data_file("nifti/someones_anatomy.nii.gz"))
    truth = rigid(anatomy.center, anatomy.world)
    theirs = sd.to_simpleitk(anatomy)
    back = sd.to_simpleitk(truth.inverse())
    moving = sd.from_simpleitk(sitk.Resample(theirs, theirs, back, sitk.sitkBSpline, 0.0))
    found = sd.register(anatomy, moving, "rigid", at=4, samples=20_000)
    assert found.world == World("xyz", "mm", "RAS")
    assert found.converged
    assert error_of(found, truth, anatomy) < 0.2


@pytest.mark.slow
def test_anatomy_and_epi_of_one_head(data_file: Any) -> None:
    """Both are registered already: a motion that is put in between is found again."""
    anatomy = sd.read(data_file("nifti/someones_anatomy.nii.gz"))
    epi = sd.read(data_file("nifti/someones_epi.nii.gz"))
    before = sd.register(anatomy, epi, "rigid", at=4, initial="world")
    motion = rigid(anatomy.center, anatomy.world, by=(3, -4, 2))
    after = sd.register(anatomy, moved_image(epi, motion), "rigid", at=4, initial="world")
    assert before.converged
    assert after.converged
    assert error_of(after, lambda points: motion(before(points)), anatomy) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "model, metric",
    [("translation", "mattes"), ("similarity", "correlation"), ("affine", "mattes")],
)  # fmt: skip
def test_linear_models(model: str, metric: str, data_file: Any) -> None:
    fixed = sd.read(data_file("nifti/someones_anatomy.nii.gz"))
    matrix = np.eye(4)
    matrix[:3, :3] = MODELS[model]
    centre = fixed.center
    matrix[:3, 3] = centre + [3.0, -2.0, 4.0] - MODELS[model] @ centre
    truth = Affine(matrix, fixed.world)
    moving = moved_image(fixed, truth)[1:, 2:, 3:]
    found = sd.register(fixed, moving, model, metric=metric, at=5.5)
    assert isinstance(found.transform, Affine)
    assert found.converged
    assert error_of(found, truth, fixed) < 0.4  # 0.07 of a voxel of the level


@pytest.mark.slow
def test_bspline() -> None:
    found = check_bspline("simpleitk")
    for level in found.log:  # an iteration counts once, however often the metric was evaluated
        assert level.metric[-1] < level.metric[0]
        assert level.converged


def test_a_spline_with_more_control_points_is_the_same_function() -> None:
    rng, spline = np.random.default_rng(0), sitk.BSplineTransform(3, 3)
    spline.SetTransformDomainOrigin((3.0, -20.0, 40.0))
    spline.SetTransformDomainPhysicalDimensions((30.0, 50.0, 60.0))
    spline.SetTransformDomainMeshSize((1, 2, 3))
    spline.SetParameters(rng.normal(size=len(spline.GetParameters())).tolist())
    finer = _refined(sitk, spline, (6, 4, 2))  # in array order
    assert finer.GetTransformDomainMeshSize() == (2, 4, 6)
    for point in (rng.uniform(0.01, 0.99, (50, 3)) * (30, 50, 60) + (3, -20, 40)).tolist():
        np.testing.assert_allclose(finer.TransformPoint(point), spline.TransformPoint(point))


# --- against SimpleITK called directly ------------------------------------------------------


def _directly(fixed: Any, moving: Any, model: Any, samples: float) -> Any:
    """What a SimpleITK user writes: its own pyramid, regular steps, physical shifts."""
    start = sitk.CenteredTransformInitializer(
        fixed, moving, model, sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(50)
    if samples < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(samples, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(start, True)
    method.Execute(fixed, moving)
    return start


def _mutual_information(fixed: Any, moving: Any, transform: Any) -> float:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(50)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(transform)
    return float(method.MetricEvaluate(fixed, moving))


PAIRS = {
    "head": ("CT_2D_head_fixed.mha", "CT_2D_head_moving.mha", "Euler2DTransform", 1.0),
    "lung": ("3DCT_lung_baseline_small.mha", "3DCT_lung_result.mha", "Euler3DTransform", 5.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_metric_is_what_simpleitk_reaches(pair: str, data_file: Any) -> None:
    fixed_name, moving_name, model, at = PAIRS[pair]
    fixed, moving = [sd.read(data_file(f"metaimage/{n}")) for n in (fixed_name, moving_name)]
    theirs = [sitk.Cast(sd.to_simpleitk(i), sitk.sitkFloat32) for i in (fixed, moving)]
    ours = sd.register(fixed, moving, "rigid", at=at, samples=50_000)
    share = 50_000 / fixed.size
    direct = _directly(*theirs, getattr(sitk, model)(), min(share, 1.0))
    start = _mutual_information(*theirs, sitk.Transform(fixed.ndim, sitk.sitkIdentity))
    reached = _mutual_information(*theirs, direct)
    found = _mutual_information(*theirs, sd.to_simpleitk(ours))
    assert found < start
    assert found <= reached + 0.01 * abs(reached)


# --- what it promises -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["mattes", "mean_squares", "correlation"])
def test_same_seed_same_bits_other_seed_other_samples(metric: str) -> None:
    fixed = phantom()
    moving = moved_image(fixed, rigid(fixed.center, fixed.world))
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = [
        sd.register(
            fixed, moving, metric=metric, at=4, samples=1000, seed=seed,
            initial=Affine.identity(fixed.world),
        ).transform.matrix
        for seed in (3, 3, 3, 3, 4)
    ]  # fmt: skip
    for again in found[1:4]:
        np.testing.assert_array_equal(found[0], again)
    assert (found[0] != found[4]).any()
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads


def test_registrations_at_the_same_time_leave_the_threads_of_the_process() -> None:
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    fixed = phantom(16)
    moving = moved_image(fixed, rigid(fixed.center, fixed.world))

    def register(threads: int) -> Any:
        return sd.register(
            fixed, moving, "translation", at=8, levels=1, threads=threads,
            initial=Affine.identity(fixed.world), iterations=30,
        )  # fmt: skip

    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they need not come to rest
        assert len(list(pool.map(register, [1, 2, 3, 1, 2, 3]))) == 6
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == before


@pytest.mark.slow
@pytest.mark.parametrize("axes, frame, unit", [("zyx", "RAS", "um"), ("yxz", "LPI", "m")])
def test_frames_units_and_orders_of_axes_are_converted(axes: str, frame: str, unit: str) -> None:
    fixed = phantom()
    truth = rigid(fixed.center, fixed.world)
    moving = moved_image(fixed, truth)
    g = moving.geometry.to_frame(frame).to_unit(unit).to_world(axes)
    moving = np.flip(sd.SpatialArray(moving.data, g).transpose((2, 0, 1)), 1)
    found = sd.register(fixed, moving, metric="mean_squares", at=4)
    assert found.world == fixed.world
    assert error_of(found, truth, fixed) < 0.2


@pytest.mark.slow
def test_a_slice_finds_its_place_in_a_volume() -> None:
    volume = phantom()
    piece = volume[14]
    truth = rigid(piece.center, volume.world, (0.0, 0.0, 0.05), (1.0, -1.5, 1.0))
    moving = moved_image(volume, truth)
    found = sd.register(piece, moving, metric="mean_squares", at=2, initial="world", levels=1)
    points = piece.index_to_physical(np.argwhere(piece.data > 60))
    assert np.linalg.norm(found(points) - truth(points), axis=1).max() < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("metric", SHORT)
@pytest.mark.parametrize("initial", ["moments", "auto"])
def test_masks_leave_out_what_is_only_in_one_image(metric: str, initial: str) -> None:
    """A bright block that is not in the other image draws centres of mass, and the answer."""
    fixed = phantom()
    truth = rigid(fixed.center, fixed.world, by=(2, -2, 1))
    moving = moved_image(fixed, truth)
    layer = np.indices(moving.shape)[0]
    spoilt = moving.replace(np.where(layer < 8, np.float32(900), moving.data))
    options: dict[str, Any] = {"metric": metric, "at": 2, "initial": initial}
    found = sd.register(fixed, spoilt, moving_mask=moving.replace(layer >= 9), **options)
    assert found.converged
    assert error_of(found, truth, fixed) < 0.2
    # And the other way round: the mask belongs to the fixed image.
    back = sd.register(spoilt, fixed, fixed_mask=moving.replace(layer >= 9), **options)
    assert error_of(back, truth.inverse(), moving) < 0.2


@pytest.mark.slow
def test_masks_lie_on_any_grid() -> None:
    fixed = phantom()
    truth = rigid(fixed.center, fixed.world, by=(2, -2, 1))
    moving = moved_image(fixed, truth)
    mask = fixed.replace(np.indices(fixed.shape)[2] >= 8)
    finer = sd.resample(mask.astype("u1"), spacing=1, interpolation="nearest")
    turned = sd.reorient(finer, "RAS")
    turned = turned.replace(geometry=turned.geometry.to_frame("RAS"))
    options: dict[str, Any] = {"metric": "mean_squares", "at": 2}
    one, two = [sd.register(fixed, moving, fixed_mask=m, **options) for m in (mask, turned)]
    np.testing.assert_allclose(one.transform.matrix, two.transform.matrix, atol=1e-6)


@pytest.mark.slow
def test_nan_takes_no_part() -> None:
    fixed = phantom()
    truth = rigid(fixed.center, fixed.world, by=(2, -2, 1))
    moving = moved_image(fixed, truth)
    layer = np.indices(moving.shape)[0]
    holed = moving.replace(np.where(layer < 8, np.float32(np.nan), moving.data))
    found = sd.register(fixed, holed, metric="mean_squares", at=2)
    assert found.converged
    assert error_of(found, truth, fixed) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_images_give_the_same_and_only_the_level_is_in_memory(kind: str) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    fixed = phantom(48)
    moving = moved_image(fixed, rigid(fixed.center, fixed.world))
    largest: list[int] = []

    def noted(block: Any) -> Any:
        largest.append(block.size)
        return block

    if kind == "dask":
        lazy = [
            i.replace(da.from_array(i.data, chunks=(13, 17, 24)).map_blocks(noted))
            for i in (fixed, moving)
        ]
    else:
        zarr = pytest.importorskip("zarr", reason="needs zarr")
        lazy = []
        for image in (fixed, moving):
            array = zarr.create_array({}, shape=image.shape, chunks=(13, 17, 24), dtype="f4")
            array[...] = image.data
            lazy.append(image.replace(array))
    expected = sd.register(fixed, moving, metric="mean_squares", at=4)
    found = sd.register(*lazy, metric="mean_squares", at=4)
    np.testing.assert_allclose(found.transform.matrix, expected.transform.matrix, atol=1e-5)
    assert expected.log[-1].shape == (16, 16, 16)
    assert all(n <= 13 * 17 * 24 for n in largest)


@pytest.mark.slow
def test_chunks_on_disk_are_read_once_and_of_a_pyramid_those_of_one_level() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    dask = pytest.importorskip("dask", reason="needs dask")
    from spatial_duck.testing._stores import RecordingStore

    fixed = phantom(96)
    stores, stored = [], []
    for level in sd.pyramid(fixed, 3):
        stores.append(RecordingStore(zarr.storage.MemoryStore()))
        array = zarr.create_array(stores[-1], shape=level.shape, chunks=(16,) * 3, dtype="f4")
        array[...] = level.data
        stored.append(level.replace(array))
    moving = fixed.replace(origin=(fixed.origin + [2.0, -1.0, 1.5]).tolist())
    coarse = sd.pyramid(moving, 3)[2]
    options: dict[str, Any] = {"metric": "mean_squares", "at": 8 / 3, "levels": 1}
    found = sd.register(sd.Pyramid(stored), coarse, "translation", **options)
    np.testing.assert_allclose(found.transform.matrix[:3, 3], [2, -1, 1.5], atol=0.05)
    # Levels of 96, 48 and 24 voxels: 216, 27 and 8 chunks.
    assert [len(store.chunks_read) for store in stores] == [0, 0, 8]
    tracemalloc.start()
    with dask.config.set(scheduler="synchronous"):
        again = sd.register(stored[0], coarse, "translation", **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(stores[0].chunks_read) == len(set(stores[0].chunks_read)) == 216
    assert peak < fixed.nbytes
    # Means of means are rounded once more; the last step of a search is 3e-4 mm.
    np.testing.assert_allclose(again.transform.matrix, found.transform.matrix, atol=1e-3)


@pytest.mark.slow
def test_levels_by_memory_and_pyramids() -> None:
    fixed = phantom(48)
    moving = moved_image(fixed, rigid(fixed.center, fixed.world))
    small = sd.register(fixed, moving, metric="mean_squares", memory=2 * 4 * 16**3)
    assert small.log[-1].shape == (16, 16, 16)
    levels = sd.pyramid(fixed, 3)
    poisoned = sd.Pyramid([levels[0].replace(levels[0].data * np.float32(np.nan)), *levels[1:]])
    other = sd.register(poisoned, moving, metric="mean_squares", at=8 / 3)
    assert other.log[-1].shape == (24, 24, 24)
    np.testing.assert_allclose(other(fixed.center), small(fixed.center), atol=0.2)


@pytest.mark.slow
def test_the_log_and_the_progress() -> None:
    fixed = phantom()
    moving = moved_image(fixed, rigid(fixed.center, fixed.world))
    seen: list[tuple[int, int, float]] = []
    found = sd.register(fixed, moving, metric="mean_squares", at=2,
                        progress=lambda *a: seen.append(a))  # fmt: skip
    assert [len(level.metric) for level in found.log] == [
        max(i for k, i, _ in seen if k == number) for number in range(len(found.log))
    ]
    assert [v for *_, v in seen] == [v for level in found.log for v in level.metric]
    assert found.converged
    assert "Step too small" in found.stop_reason
    assert found.metric < 0.01 * found.before
    assert 0.5 < found.overlap <= 1
    assert "iterations to" in repr(found)

    def stop(level: int, iteration: int, metric: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sd.register(fixed, moving, at=4, progress=stop)


def test_a_transform_to_start_from() -> None:
    fixed = phantom()
    far = rigid(fixed.center, fixed.world, (0.4, 0.3, -0.5), (60, 0, 0))
    moving = moved_image(fixed, far)
    near = rigid(fixed.center, fixed.world, (0.35, 0.33, -0.45), (58, 1, 0))
    found = sd.register(fixed, moving, metric="mean_squares", at=4,
                        initial=near.to_world(World("xyz", "um", "RAS")))  # fmt: skip
    assert error_of(found, far, fixed) < 0.2


def test_the_command_line(tmp_path: Any, capsys: Any) -> None:
    from spatial_duck.cli import main

    fixed = phantom().replace(attrs={})
    moving = fixed.replace(origin=(fixed.origin + [2.0, -1.0, 1.5]).tolist())
    paths = [str(tmp_path / name) for name in ("f.nrrd", "m.nrrd", "t.h5", "out.nrrd")]
    sd.write(paths[0], fixed)
    sd.write(paths[1], moving)
    options = ["--model", "translation", "--metric", "mean_squares", "--at", "4"]
    assert main(["register", *paths[:2], "--out", paths[2], "--apply", paths[3], *options]) == 0
    assert "converged: Reg" in capsys.readouterr().out
    found = sd.Transform.read(paths[2])
    np.testing.assert_allclose(found([0.0, 0.0, 0.0]), [1.5, -1.0, 2.0], atol=0.05)
    out = sd.read(paths[3])
    assert out.geometry.isclose(sd.read(paths[0]).geometry)
    np.testing.assert_allclose(out.data, fixed.data, atol=0.02 * np.ptp(fixed.data))


# --- when it does not find one --------------------------------------------------------------


def test_no_overlap_is_an_error() -> None:
    fixed = phantom()
    far = fixed.replace(origin=(1000.0, 0.0, 0.0))
    with pytest.raises(RegistrationError, match="do not overlap at the start"):
        sd.register(fixed, far, initial="world", at=4)


def test_nothing_to_align_is_an_error() -> None:
    fixed = phantom()
    flat = fixed.replace(np.full_like(fixed.data, 3))
    for pair, name in (((fixed, flat), "moving"), ((flat, fixed), "fixed")):
        with pytest.raises(RegistrationError, match=f"{name}: all voxels"):
            sd.register(*pair, at=4)
    with pytest.raises(RegistrationError, match="mask"):
        sd.register(fixed, fixed, fixed_mask=fixed.replace(fixed.data < -1e6), at=4)


@pytest.mark.slow
def test_iterations_that_run_out_are_flagged() -> None:
    fixed = phantom()
    moving = moved_image(fixed, rigid(fixed.center, fixed.world))
    with pytest.warns(UserWarning, match="the 2 iterations were used up"):
        found = sd.register(fixed, moving, metric="mean_squares", at=4, iterations=2, levels=1)
    assert not found.converged


@pytest.mark.slow
def test_an_image_with_itself_stays() -> None:
    fixed = phantom()
    found = sd.register(fixed, fixed, metric="mean_squares", at=4)
    assert error_of(found, Affine.identity(fixed.world), fixed) < 0.01


REFUSED = [
    ({"model": "curved"}, ValueError, "model must be one of"),
    ({"metric": "joint"}, ValueError, "metric must be one of"),
    ({"engine": "mine"}, ValueError, "engine must be one of"),
    ({"initial": "near"}, ValueError, "initial"),
    ({"at": -1.0}, ValueError, "at must be positive"),
    ({"levels": 0}, ValueError, "levels"),
    ({"seed": -1}, ValueError, "seed"),
    ({"control_spacing": 0}, ValueError, "control_spacing"),
    ({"moving": np.zeros((4, 4, 4))}, TypeError, "SpatialArray"),
    ({"moving": phantom(frame=None)}, FrameError, "frame"),
    ({"moving": sd.SpatialArray(np.zeros((4, 4)), frame="LPS", unit="mm")}, GeometryError, "same"),
    ({"moving": np.stack([phantom(), phantom()])}, GeometryError, "axes of space alone"),
    ({"moving": phantom().reshape(-1)}, GeometryError, "lost its positions in reshape"),
    ({"moving": phantom().astype(complex)}, TypeError, "real numbers"),
]


@pytest.mark.parametrize("change, error, message", REFUSED)
def test_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sd.register(**{"fixed": phantom(), "moving": phantom(), "at": 4, **change})


# --- far from the answer ------------------------------------------------------------------


def _head(n: int = 80) -> sd.SpatialArray:
    """A picture of 160 mm without symmetry."""
    from scipy import ndimage

    y, x = (np.mgrid[:n, :n] - n / 2) * 160 / n

    def ellipse(cy: float, cx: float, ry: float, rx: float) -> Any:
        return (((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1) * 1.0

    values = ellipse(0, 0, 60, 45) * 100 - ellipse(0, 0, 54, 39) * 60
    values += ellipse(-20, 12, 10, 8) * 40 + ellipse(25, -10, 8, 14) * 50
    values += ellipse(5, 25, 5, 9) * 60 - ellipse(-30, -12, 7, 9) * 25
    values = ndimage.gaussian_filter(values, 0.7).astype("f4")
    return sd.SpatialArray(values, spacing=160 / n, unit="mm")


def _turn(degrees: float, image: sd.SpatialArray, by: Any = (4.0, -3.0)) -> Affine:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.eye(3)
    matrix[:2, :2] = [[c, -s], [s, c]]
    matrix[:2, 2] = image.center - matrix[:2, :2] @ image.center + by
    return Affine(matrix, image.world)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [45, 90, 120, 175, 180, 270])
def test_any_turn_in_the_plane_is_found(degrees: float) -> None:
    """The start is looked for all the way round, in the image's own values at another place."""
    moving = _head()
    truth = _turn(degrees, moving)
    fixed = sd.resample(moving, moving, transform=truth)
    found = sd.register(fixed, moving, "rigid")
    assert found.converged
    assert found.trusted, found.doubt
    points = moving.center + np.array([[y, x] for y in (-40, 0, 40) for x in (-30, 0, 30)])
    assert np.linalg.norm(found(points) - truth(points), axis=1).max() < 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_turn_by_60_degrees_in_space_is_found(seed: int) -> None:
    image = phantom()
    axis = np.random.default_rng(seed).normal(size=3)
    axis /= np.linalg.norm(axis)
    k = np.cross(np.eye(3), axis)
    angle = np.deg2rad(60)
    turn = np.eye(3) - np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = image.center - turn @ image.center + [2.0, -3.0, 1.0]
    truth = Affine(matrix, image.world)
    fixed = sd.resample(image, image, transform=truth)
    found = sd.register(fixed, image, "rigid", at=4, levels=2)
    points = image.center + np.random.default_rng(1).uniform(-15, 15, (20, 3))
    error = np.linalg.norm(found(points) - truth(points), axis=1).max()
    assert error < 1
    assert found.trusted, found.doubt


@pytest.mark.slow
def test_a_wrong_optimum_is_not_trusted(monkeypatch: Any) -> None:
    """Where the search does not begin at the best alignment that was tried, that one speaks up."""
    from spatial_duck.registration import _api

    moving = _head()
    truth = _turn(120, moving)
    fixed = sd.resample(moving, moving, transform=truth)

    def beside(initial: Any, level: Any, world: Any, turns: bool) -> Any:
        found = find(initial, level, world, turns)
        upright = Affine.identity(world)
        return found._replace(transform=upright, others=(found.transform, *found.others))

    find = _api.find_start
    monkeypatch.setattr(_api, "find_start", beside)
    with pytest.warns(UserWarning, match="not to be trusted|did not converge"):
        found = sd.register(fixed, moving, "rigid")
    points = moving.center + np.array([[y, x] for y in (-40, 40) for x in (-30, 30)])
    assert np.linalg.norm(found(points) - truth(points), axis=1).max() > 10
    assert not found.trusted
    assert "apart from it has more information in common" in found.doubt
    assert "not trusted" in repr(found)


def test_little_overlap_is_not_trusted() -> None:
    fixed = _head()
    moving = fixed[37:43]
    with pytest.warns(UserWarning, match="not to be trusted|did not converge"):
        found = sd.register(fixed, moving, "translation", initial="world", levels=1)
    assert not found.trusted
    assert "of the fixed image lie in the moving one" in found.doubt
