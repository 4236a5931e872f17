"""`register` finds motions that are known, says when it does not, and reads only a coarse level."""

from __future__ import annotations

import sys
import tracemalloc
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FrameError, GeometryError, RegistrationError
from spatial_duck.geometry import Geometry
from spatial_duck.registration import METRICS
from spatial_duck.transforms import Affine, DisplacementField
from spatial_duck.world import World

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")


def _rigid(
    centre: Any, world: World, turn: Any = (0.05, -0.08, 0.12), by: Any = (5, -7, 4)
) -> Affine:
    euler = sitk.Euler3DTransform(np.asarray(centre).tolist(), *map(float, turn), by)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(euler.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = euler.TransformPoint((0.0, 0.0, 0.0))
    return Affine(matrix, world)


def _moved(image: sd.SpatialArray, motion: Affine) -> sd.SpatialArray:
    """The same voxels where the motion brings them: what is at p is then at motion(p)."""
    g, m = image.geometry, motion.matrix[:-1, :-1]
    steps = m @ (g.direction * g.spacing)
    lengths = np.sqrt((steps**2).sum(axis=0))
    return image.replace(
        origin=motion(g.origin).tolist(), spacing=lengths.tolist(), direction=steps / lengths
    )


def _phantom(n: int = 32, frame: str | None = "LPS") -> sd.SpatialArray:
    """Waves in all directions that fade away from the middle of a box of 64 mm; z, y, x."""
    rng = np.random.default_rng(5)
    grid = Geometry((n, n, n), (64 / n,) * 3, (3.0, -20.0, 40.0), unit="mm", frame=frame)
    at = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center
    values = np.full(grid.shape, 300.0)
    for wave, phase in zip(rng.normal(0, 0.17, (30, 3)), rng.uniform(0, 7, 30), strict=True):
        values += 30 * np.cos(at @ wave + phase)
    values *= np.exp(-(((at / [20, 24, 27]) ** 2).sum(-1) ** 2))
    return sd.SpatialArray(values.astype(np.float32), grid)


def _error(found: Any, truth: Any, image: sd.SpatialArray) -> float:
    """The largest distance over the brightest half of the voxels and the corners of the image."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape])).reshape(image.ndim, -1).T
    inside = np.argwhere(image.data > np.median(image.data))
    index = np.concatenate([corners, inside[:: max(1, len(inside) // 2000)]])
    points = image.index_to_physical(index)
    return float(np.linalg.norm(found(points) - truth(points), axis=1).max())


# --- motions that are known -----------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_rigid_motion_of_a_real_mr_from_a_4_mm_level(metric: str, data_file: Any) -> None:
    brain = sd.read(data_file("nrrd/brain1_image.nrrd"))
    truth = _rigid(brain.center, brain.world)
    # Other voxels at the ends: the bins of the two images are not the same voxels.
    moving = _moved(brain, truth)[1:, 2:, 3:]
    found = sd.register(brain, moving, "rigid", metric=metric, at=4)
    assert found.converged
    assert found.log[-1].spacing == pytest.approx((6.5, 3.90625, 3.90625))
    assert _error(found, truth, brain) < 0.2


def test_rigid_motion_of_an_image_that_was_resampled(data_file: Any) -> None:
    """Mutual information; the values were interpolated, by SimpleITK; a RAS image."""
    anatomy = sd.read(data_file("nifti/someones_anatomy.nii.gz"))
    truth = _rigid(anatomy.center, anatomy.world)
    theirs = sd.to_simpleitk(anatomy)
    back = sd.to_simpleitk(truth.inverse())
    moving = sd.from_simpleitk(sitk.Resample(theirs, theirs, back, sitk.sitkBSpline, 0.0))
    found = sd.register(anatomy, moving, "rigid", at=4, samples=20_000)
    assert found.world == World("xyz", "mm", "RAS")
    assert found.converged
    assert _error(found, truth, anatomy) < 0.2


def test_anatomy_and_epi_of_one_head(data_file: Any) -> None:
    """Both are registered already: a motion that is put in between is found again."""
    anatomy = sd.read(data_file("nifti/someones_anatomy.nii.gz"))
    epi = sd.read(data_file("nifti/someones_epi.nii.gz"))
    before = sd.register(anatomy, epi, "rigid", at=4, initial="world")
    motion = _rigid(anatomy.center, anatomy.world, by=(3, -4, 2))
    after = sd.register(anatomy, _moved(epi, motion), "rigid", at=4, initial="world")
    assert before.converged
    assert after.converged
    assert _error(after, lambda points: motion(before(points)), anatomy) < 0.2


MODELS = {
    "translation": np.eye(3),
    "rigid": _rigid((0, 0, 0), World("xyz", "mm"), (0.06, 0.04, -0.1)).matrix[:3, :3],
    "similarity": 1.06 * _rigid((0, 0, 0), World("xyz", "mm"), (0.06, 0.04, -0.1)).matrix[:3, :3],
    "affine": np.array([[1.05, 0.06, 0.0], [-0.03, 0.96, 0.04], [0.02, 0.0, 1.03]]),
}


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
    moving = _moved(fixed, truth)[1:, 2:, 3:]
    found = sd.register(fixed, moving, model, metric=metric, at=5.5)
    assert isinstance(found.transform, Affine)
    assert found.converged
    assert _error(found, truth, fixed) < 0.4  # 0.07 of a voxel of the level


def _rippled() -> tuple[sd.SpatialArray, sd.SpatialArray, DisplacementField]:
    """An image, the same one warped, and the field that leads to it."""
    fixed = _phantom()
    ripple = Geometry((9, 9, 9), (9, 9, 9), fixed.origin - 4, unit="mm", frame="LPS")
    at = ripple.index_to_physical(np.moveaxis(np.indices(ripple.shape), 0, -1))
    vectors = 2.5 * np.sin((at - fixed.center) / 16)[..., [1, 2, 0]]
    field = DisplacementField(
        sd.SpatialArray(vectors, ripple.expand_dims(3).repeat(3, 3))
    )  # fmt: skip
    # moving(field(p)) = fixed(p): the moving image is made by a warp back, found numerically.
    points = fixed.geometry.index_to_physical(np.moveaxis(np.indices(fixed.shape), 0, -1))
    back = points.copy()
    for _ in range(30):
        back = points - (field(back) - back)
    return fixed, fixed.replace(_sampled(fixed, back)), field


def _check_bspline(engine: str) -> sd.registration.Registration:
    fixed, moving, field = _rippled()
    found = sd.register(fixed, moving, "bspline", metric="mean_squares", at=2, levels=2,
                        control_spacing=16, initial=Affine.identity(fixed.world),
                        engine=engine)  # fmt: skip
    assert isinstance(found.transform, DisplacementField)
    assert found.metric < 0.05 * found.before
    points = fixed.geometry.index_to_physical(np.argwhere(fixed.data > 60))
    assert np.linalg.norm(found(points) - field(points), axis=1).mean() < 0.5
    return found


def test_bspline() -> None:
    _check_bspline("simpleitk")


def _sampled(image: sd.SpatialArray, points: np.ndarray) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(image.physical_to_index(points), -1, 0)
    return map_coordinates(image.data, index, order=3, mode="nearest").astype(np.float32)


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


def test_same_seed_same_bits_other_seed_other_samples() -> None:
    fixed = _phantom()
    moving = _moved(fixed, _rigid(fixed.center, fixed.world))
    found = [
        sd.register(
            fixed, moving, metric="mean_squares", at=4, samples=2000, seed=seed
        ).transform.matrix
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize("axes, frame, unit", [("zyx", "RAS", "um"), ("yxz", "LPI", "m")])
def test_frames_units_and_orders_of_axes_are_converted(axes: str, frame: str, unit: str) -> None:
    fixed = _phantom()
    truth = _rigid(fixed.center, fixed.world)
    moving = _moved(fixed, truth)
    g = moving.geometry.to_frame(frame).to_unit(unit).to_world(axes)
    moving = np.flip(sd.SpatialArray(moving.data, g).transpose((2, 0, 1)), 1)
    found = sd.register(fixed, moving, metric="mean_squares", at=4)
    assert found.world == fixed.world
    assert _error(found, truth, fixed) < 0.2


def test_a_slice_finds_its_place_in_a_volume() -> None:
    volume = _phantom()
    piece = volume[14]
    truth = _rigid(piece.center, volume.world, (0.0, 0.0, 0.05), (1.0, -1.5, 1.0))
    moving = _moved(volume, truth)
    found = sd.register(piece, moving, metric="mean_squares", at=2, initial="world", levels=1)
    points = piece.index_to_physical(np.argwhere(piece.data > 60))
    assert np.linalg.norm(found(points) - truth(points), axis=1).max() < 0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("initial", ["moments", "auto"])
def test_masks_leave_out_what_is_only_in_one_image(metric: str, initial: str) -> None:
    """A bright block that is not in the other image draws centres of mass, and the answer."""
    fixed = _phantom()
    truth = _rigid(fixed.center, fixed.world, by=(2, -2, 1))
    moving = _moved(fixed, truth)
    layer = np.indices(moving.shape)[0]
    spoilt = moving.replace(np.where(layer < 8, np.float32(900), moving.data))
    options: dict[str, Any] = {"metric": metric, "at": 2, "initial": initial}
    found = sd.register(fixed, spoilt, moving_mask=moving.replace(layer >= 9), **options)
    assert found.converged
    assert _error(found, truth, fixed) < 0.2
    # And the other way round: the mask belongs to the fixed image.
    back = sd.register(spoilt, fixed, fixed_mask=moving.replace(layer >= 9), **options)
    assert _error(back, truth.inverse(), moving) < 0.2


def test_masks_lie_on_any_grid() -> None:
    fixed = _phantom()
    truth = _rigid(fixed.center, fixed.world, by=(2, -2, 1))
    moving = _moved(fixed, truth)
    mask = fixed.replace(np.indices(fixed.shape)[2] >= 8)
    finer = sd.resample(mask.astype("u1"), spacing=1, interpolation="nearest")
    turned = sd.reorient(finer, "RAS")
    turned = turned.replace(geometry=turned.geometry.to_frame("RAS"))
    options: dict[str, Any] = {"metric": "mean_squares", "at": 2}
    one, two = [sd.register(fixed, moving, fixed_mask=m, **options) for m in (mask, turned)]
    np.testing.assert_allclose(one.transform.matrix, two.transform.matrix, atol=1e-6)


def test_nan_takes_no_part() -> None:
    fixed = _phantom()
    truth = _rigid(fixed.center, fixed.world, by=(2, -2, 1))
    moving = _moved(fixed, truth)
    layer = np.indices(moving.shape)[0]
    holed = moving.replace(np.where(layer < 8, np.float32(np.nan), moving.data))
    found = sd.register(fixed, holed, metric="mean_squares", at=2)
    assert found.converged
    assert _error(found, truth, fixed) < 0.2


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_images_give_the_same_and_only_the_level_is_in_memory(kind: str) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    fixed = _phantom(48)
    moving = _moved(fixed, _rigid(fixed.center, fixed.world))
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


def test_chunks_on_disk_are_read_once_and_of_a_pyramid_those_of_one_level() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    dask = pytest.importorskip("dask", reason="needs dask")
    from spatial_duck.testing.stores import RecordingStore

    fixed = _phantom(96)
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


def test_levels_by_memory_and_pyramids() -> None:
    fixed = _phantom(48)
    moving = _moved(fixed, _rigid(fixed.center, fixed.world))
    small = sd.register(fixed, moving, metric="mean_squares", memory=2 * 4 * 16**3)
    assert small.log[-1].shape == (16, 16, 16)
    levels = sd.pyramid(fixed, 3)
    poisoned = sd.Pyramid([levels[0].replace(levels[0].data * np.float32(np.nan)), *levels[1:]])
    other = sd.register(poisoned, moving, metric="mean_squares", at=8 / 3)
    assert other.log[-1].shape == (24, 24, 24)
    np.testing.assert_allclose(other(fixed.center), small(fixed.center), atol=0.2)


def test_the_log_and_the_progress() -> None:
    fixed = _phantom()
    moving = _moved(fixed, _rigid(fixed.center, fixed.world))
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
    fixed = _phantom()
    far = _rigid(fixed.center, fixed.world, (0.4, 0.3, -0.5), (60, 0, 0))
    moving = _moved(fixed, far)
    near = _rigid(fixed.center, fixed.world, (0.35, 0.33, -0.45), (58, 1, 0))
    found = sd.register(fixed, moving, metric="mean_squares", at=4,
                        initial=near.to_world(World("xyz", "um", "RAS")))  # fmt: skip
    assert _error(found, far, fixed) < 0.2


def test_the_command_line(tmp_path: Any, capsys: Any) -> None:
    from spatial_duck.cli import main

    fixed = _phantom().replace(attrs={})
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
    fixed = _phantom()
    far = fixed.replace(origin=(1000.0, 0.0, 0.0))
    with pytest.raises(RegistrationError, match="do not overlap at the start"):
        sd.register(fixed, far, initial="world", at=4)


def test_nothing_to_align_is_an_error() -> None:
    fixed = _phantom()
    flat = fixed.replace(np.full_like(fixed.data, 3))
    for pair, name in (((fixed, flat), "moving"), ((flat, fixed), "fixed")):
        with pytest.raises(RegistrationError, match=f"{name}: all voxels"):
            sd.register(*pair, at=4)
    with pytest.raises(RegistrationError, match="mask"):
        sd.register(fixed, fixed, fixed_mask=fixed.replace(fixed.data < -1e6), at=4)


def test_iterations_that_run_out_are_flagged() -> None:
    fixed = _phantom()
    moving = _moved(fixed, _rigid(fixed.center, fixed.world))
    with pytest.warns(UserWarning, match="the 5 iterations were used up"):
        found = sd.register(fixed, moving, metric="mean_squares", at=4, iterations=5, levels=1)
    assert not found.converged


def test_an_image_with_itself_stays() -> None:
    fixed = _phantom()
    found = sd.register(fixed, fixed, metric="mean_squares", at=4)
    assert _error(found, Affine.identity(fixed.world), fixed) < 0.01


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
    ({"moving": _phantom(frame=None)}, FrameError, "frame"),
    ({"moving": sd.SpatialArray(np.zeros((4, 4)), frame="LPS", unit="mm")}, GeometryError, "same"),
    ({"moving": np.stack([_phantom(), _phantom()])}, GeometryError, "axes of space alone"),
    ({"moving": _phantom().reshape(-1)}, GeometryError, "lost its positions in reshape"),
    ({"moving": _phantom().astype(complex)}, TypeError, "real numbers"),
]


@pytest.mark.parametrize("change, error, message", REFUSED)
def test_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sd.register(**{"fixed": _phantom(), "moving": _phantom(), "at": 4, **change})


# --- other engines --------------------------------------------------------------------------

#: The largest error allowed for a motion of a phantom of 64 mm at a level of 2 mm. The worst that
#: is found: 0.03 mm by elastix, 0.04 mm by ANTs.
_ENGINE_ERROR = 0.1


@pytest.fixture(params=["elastix", "ants"])
def other(request: Any) -> str:
    package = {"elastix": "itk-elastix", "ants": "antspyx"}[request.param]
    try:
        version(package)
    except PackageNotFoundError:
        pytest.skip(f"needs {package}")
    return str(request.param)


def _oblique() -> sd.SpatialArray:
    turn = _rigid((0, 0, 0), World("xyz", "mm"), (0.5, -0.4, 0.8)).matrix[:3, :3]
    image = _phantom()
    return image.replace(direction=turn @ image.direction)


def _known(model: str, image: sd.SpatialArray) -> Affine:
    matrix, centre = np.eye(4), image.center
    matrix[:3, :3] = MODELS[model]
    matrix[:3, 3] = centre + [3.0, -2.0, 4.0] - MODELS[model] @ centre
    return Affine(matrix, image.world)


@pytest.mark.parametrize("model", MODELS)
def test_engines_find_motions_of_an_oblique_volume(other: str, model: str) -> None:
    fixed = _oblique()
    truth = _known(model, fixed)
    moving = _moved(fixed, truth)[1:, 2:, 3:]
    found = sd.register(fixed, moving, model, metric="mean_squares", at=2, engine=other)
    assert found.engine == other
    assert found.converged
    assert found.metric < 0.01 * found.before
    assert [len(level.metric) > 1 for level in found.log] == [True] * len(found.log)
    assert _error(found, truth, fixed) < _ENGINE_ERROR


def test_engines_convert_frames_units_and_start_from_a_transform(other: str) -> None:
    fixed = _oblique()
    far = _rigid(fixed.center, fixed.world, (0.4, 0.3, -0.5), (60, 0, 0))
    near = _rigid(fixed.center, fixed.world, (0.35, 0.33, -0.45), (58, 1, 0))
    moving = _moved(fixed, far)
    g = moving.geometry.to_frame("RAS").to_unit("um").to_world("yxz")
    moving = np.flip(sd.SpatialArray(moving.data, g).transpose((2, 0, 1)), 1)
    seen: list[tuple[int, int, float]] = []
    found = sd.register(fixed, moving, metric="mean_squares", at=2, levels=1, engine=other,
                        initial=near.to_world(World("xyz", "um", "RAS")),
                        progress=lambda *a: seen.append(a))  # fmt: skip
    assert found.world == fixed.world
    assert _error(found, far, fixed) < _ENGINE_ERROR
    assert [value for *_, value in seen] == list(found.log[-1].metric)


@pytest.mark.parametrize(
    "metric, most", [("mean_squares", 0.1), ("mattes", 0.2), ("correlation", 0.1)]
)
def test_engines_take_masks(other: str, metric: str, most: float) -> None:
    """A bright block that is in one image alone draws the answer, unless a mask leaves it out."""
    fixed = _oblique()
    truth = _rigid(fixed.center, fixed.world, by=(2, -2, 1))
    moving = _moved(fixed, truth)
    layer = np.indices(moving.shape)[0]
    spoilt = moving.replace(np.where(layer < 8, np.float32(900), moving.data))
    mask = moving.replace(layer >= 9)
    # Without a mask the error is 17 mm.
    options: dict[str, Any] = {"metric": metric, "at": 2, "levels": 1, "engine": other}
    found = sd.register(fixed, spoilt, moving_mask=mask, initial="world", **options)
    assert _error(found, truth, fixed) < most
    back = sd.register(spoilt, fixed, fixed_mask=mask, initial="world", **options)
    assert _error(back, truth.inverse(), moving) < most


def test_engines_give_the_same_bits_for_the_same_seed(other: str) -> None:
    fixed = _oblique()
    moving = _moved(fixed, _known("rigid", fixed))
    options: dict[str, Any] = {"metric": "mean_squares", "at": 4, "levels": 1, "samples": 2000}
    one, same, unlike = [
        sd.register(fixed, moving, seed=seed, engine=other, **options).transform.matrix
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(one, same)
    assert (one != unlike).any()


@pytest.mark.parametrize("model", ["rigid", "affine"])
def test_engines_flag_answers_that_mutual_information_draws_away(other: str, model: str) -> None:
    """The optimum of Mattes' metric is a scaled image, where much of it is background."""
    fixed = _oblique()
    truth = _known(model, fixed)
    moving = _moved(fixed, truth)[1:, 2:, 3:]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = sd.register(fixed, moving, model, at=2, levels=1, engine=other)
    error = _error(found, truth, fixed)
    assert found.converged == (error < _ENGINE_ERROR)
    assert found.converged == (model == "rigid")
    messages = [str(w.message) for w in told if "did not converge" in str(w.message)]
    assert len(messages) == (not found.converged)
    assert all("better a little way" in message for message in messages)


def test_engines_flag_iterations_that_run_out(other: str) -> None:
    fixed = _oblique()
    moving = _moved(fixed, _known("rigid", fixed))
    with pytest.warns(UserWarning, match="the 3 iterations were used up"):
        found = sd.register(fixed, moving, metric="mean_squares", at=4, iterations=3, levels=1,
                            engine=other)  # fmt: skip
    assert not found.converged


def test_engines_register_flat_images(other: str) -> None:
    fixed = _phantom()[16].data
    image = sd.SpatialArray(fixed, spacing=(2, 2), unit="mm")
    moved = image.replace(origin=(2.5, -1.5))
    found = sd.register(image, moved, "rigid", metric="mean_squares", initial="world", levels=1,
                        engine=other)  # fmt: skip
    np.testing.assert_allclose(found([[9.0, 40.0]]), [[11.5, 38.5]], atol=_ENGINE_ERROR)


def test_bspline_by_elastix_is_its_own(monkeypatch: Any) -> None:
    """Ours maps points as elastix's transform does, and transformix resamples, on oblique grids."""
    engine = pytest.importorskip("spatial_duck.registration.elastix_engine")
    try:
        version("itk-elastix")
    except PackageNotFoundError:
        pytest.skip("needs itk-elastix")
    kept: list[Any] = []
    ours = engine._spline

    def noted(method: Any, given: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = method.GetCombinationTransform()
            kept.append((theirs, given, ours(method, given), _transformixed(method, given)))
        return kept[0][2]

    monkeypatch.setattr(engine, "_spline", noted)
    fixed, moving, _ = _rippled()
    turn = _rigid((0, 0, 0), World("xyz", "mm"), (0.5, -0.4, 0.8)).matrix[:3, :3]
    pair = [i[2:, 1:].replace(direction=turn @ i.direction) for i in (fixed, moving)]
    with pytest.warns(UserWarning, match="the 15 iterations were used up"):
        found = sd.register(*pair, "bspline", metric="mean_squares", at=4, levels=1,
                            control_spacing=20, initial=Affine.identity(fixed.world),
                            iterations=15, engine="elastix")  # fmt: skip
    theirs, given, spline, resampled = kept[0]
    side = given.fixed
    index = np.random.default_rng(0).uniform(0, np.array(side.data.shape) - 1, (1000, 3))
    points = side.origin + index @ (side.direction * side.spacing).T
    expected = np.array([list(theirs.TransformPoint(p)) for p in points.tolist()])
    assert np.abs(expected - points).max() > 0.1
    np.testing.assert_allclose(spline(points), expected, atol=1e-6)
    # The answer in the world, at the voxels of the level.
    index = np.round(index)
    points = side.origin + index @ (side.direction * side.spacing).T
    there = given.unit.inverse()(spline(points))
    np.testing.assert_allclose(found(given.unit.inverse()(points)), there, atol=1e-6)
    level = sd.SpatialArray(given.moving.data, spacing=given.moving.spacing.tolist(),
                            origin=given.moving.origin.tolist(), direction=given.moving.direction,
                            dims=("z", "y", "x"), world=World("xyz"))  # fmt: skip
    at = level.physical_to_index(spline(points))
    inside = ((at > 0) & (at < np.array(level.shape) - 1)).all(1)
    from scipy.ndimage import map_coordinates

    # ITK's splines are mirrored at the border.
    mine = map_coordinates(level.data, at[inside].T, order=3, mode="mirror")
    np.testing.assert_allclose(
        mine, resampled[tuple(index[inside].astype(int).T)], atol=1e-3 * np.ptp(level.data)
    )


def _transformixed(method: Any, given: Any) -> np.ndarray:
    """The moving image as elastix's transformix resamples it, with cubic B-splines."""
    import itk

    moving = method.GetMovingImage()
    parameters = method.GetTransformParameterObject()
    out = itk.transformix_filter(moving, transform_parameter_object=parameters)
    return np.array(itk.array_view_from_image(out))


def test_bspline_by_elastix() -> None:
    try:
        version("itk-elastix")
    except PackageNotFoundError:
        pytest.skip("needs itk-elastix")
    assert _check_bspline("elastix").converged


def test_engines_refuse_what_they_cannot_do(other: str) -> None:
    fixed = _phantom()
    if other == "ants":
        with pytest.raises(ValueError, match="'bspline' is searched for by engine simpleitk or"):
            sd.register(fixed, fixed, "bspline", at=4, engine=other)
    with pytest.raises(RegistrationError, match="4 voxels or more"):
        sd.register(fixed[14], fixed, at=2, initial="world", engine=other)
    both = sd.transforms.Composite(Affine.identity(fixed.world), Affine.identity(fixed.world))
    with pytest.raises(RegistrationError, match="starts from an Affine"):
        sd.register(fixed, fixed, at=4, initial=both, engine=other)


@pytest.mark.parametrize(
    "engine, missing, package",
    [("simpleitk", "SimpleITK", "SimpleITK"), ("elastix", "itk", "itk-elastix"),
     ("ants", "ants", "antspyx")],
)  # fmt: skip
def test_an_engine_that_is_not_installed_is_named_before_anything_is_read(
    engine: str, missing: str, package: str, monkeypatch: Any
) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")

    def read(block: Any) -> Any:
        raise AssertionError("a block was read")

    image = _phantom()
    lazy = image.replace(da.from_array(image.data, chunks=16).map_blocks(read, dtype="f4"))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=f"needs '{package}'"):
        sd.register(lazy, lazy, at=4, engine=engine)
