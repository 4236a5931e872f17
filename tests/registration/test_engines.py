"""Engines other than SimpleITK find the same motions, and say when they do not."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import RegistrationError
from spatial_duck.geometry import World
from spatial_duck.registration import Engine
from spatial_duck.transforms import Affine
from tests.registration.cases import (
    MODELS,
    error_of,
    moved_image,
    phantom,
    rigid,
    rippled,
)

pytest.importorskip("SimpleITK", reason="needs SimpleITK")

#: The largest error allowed for a motion of a phantom of 64 mm at a level of 2 mm. The worst that
#: is found: 0.04 mm by ANTs.
_ENGINE_ERROR = 0.1


@pytest.fixture(params=["ants"])
def other(request: Any) -> str:
    package = {"ants": "antspyx"}[request.param]
    try:
        version(package)
    except PackageNotFoundError:
        pytest.skip(f"needs {package}")
    return str(request.param)


def _oblique() -> sd.SpatialArray:
    turn = rigid((0, 0, 0), World("xyz", "mm"), (0.5, -0.4, 0.8)).matrix[:3, :3]
    image = phantom()
    return image.replace(direction=turn @ image.direction)


def _known(model: str, image: sd.SpatialArray) -> Affine:
    matrix, centre = np.eye(4), image.center
    matrix[:3, :3] = MODELS[model]
    matrix[:3, 3] = centre + [3.0, -2.0, 4.0] - MODELS[model] @ centre
    return Affine(matrix, image.world)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_engines_find_motions_of_an_oblique_volume(other: str, model: str) -> None:
    fixed = _oblique()
    truth = _known(model, fixed)
    moving = moved_image(fixed, truth)[1:, 2:, 3:]
    found = sd.register(fixed, moving, model, metric="mean_squares", at=2, engine=other)
    assert found.engine == other
    assert found.converged
    assert found.metric < 0.01 * found.before
    assert [len(level.metric) > 1 for level in found.log] == [True] * len(found.log)
    assert error_of(found, truth, fixed) < _ENGINE_ERROR


@pytest.mark.slow
def test_engines_convert_frames_units_and_start_from_a_transform(other: str) -> None:
    fixed = _oblique()
    far = rigid(fixed.center, fixed.world, (0.4, 0.3, -0.5), (60, 0, 0))
    near = rigid(fixed.center, fixed.world, (0.35, 0.33, -0.45), (58, 1, 0))
    moving = moved_image(fixed, far)
    g = moving.geometry.to_frame("RAS").to_unit("um").to_world("yxz")
    moving = np.flip(sd.SpatialArray(moving.data, g).transpose((2, 0, 1)), 1)
    seen: list[tuple[int, int, float]] = []
    found = sd.register(fixed, moving, metric="mean_squares", at=2, levels=1, engine=other,
                        initial=near.to_world(World("xyz", "um", "RAS")),
                        progress=lambda *a: seen.append(a))  # fmt: skip
    assert found.world == fixed.world
    assert error_of(found, far, fixed) < _ENGINE_ERROR
    assert [value for *_, value in seen] == list(found.log[-1].metric)


@pytest.mark.slow
@pytest.mark.parametrize(
    "metric, most", [("mean_squares", 0.1), ("mattes", 0.2), ("correlation", 0.1)]
)
def test_engines_take_masks(other: str, metric: str, most: float) -> None:
    """A bright block that is in one image alone draws the answer, unless a mask leaves it out."""
    fixed = _oblique()
    truth = rigid(fixed.center, fixed.world, by=(2, -2, 1))
    moving = moved_image(fixed, truth)
    layer = np.indices(moving.shape)[0]
    spoilt = moving.replace(np.where(layer < 8, np.float32(900), moving.data))
    mask = moving.replace(layer >= 9)
    # Without a mask the error is 17 mm.
    options: dict[str, Any] = {"metric": metric, "at": 2, "levels": 1, "engine": other}
    found = sd.register(fixed, spoilt, moving_mask=mask, initial="world", **options)
    assert error_of(found, truth, fixed) < most
    back = sd.register(spoilt, fixed, fixed_mask=mask, initial="world", **options)
    assert error_of(back, truth.inverse(), moving) < most


@pytest.mark.slow
def test_engines_give_the_same_bits_for_the_same_seed(other: str) -> None:
    fixed = _oblique()
    moving = moved_image(fixed, _known("rigid", fixed))
    options: dict[str, Any] = {"metric": "mean_squares", "at": 4, "levels": 1, "samples": 2000}
    one, same, unlike = [
        sd.register(fixed, moving, seed=seed, engine=other, **options).transform.matrix
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(one, same)
    assert (one != unlike).any()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rigid", "affine"])
def test_engines_flag_answers_that_mutual_information_draws_away(other: str, model: str) -> None:
    """The optimum of Mattes' metric is a scaled image, where much of it is background."""
    fixed = _oblique()
    truth = _known(model, fixed)
    moving = moved_image(fixed, truth)[1:, 2:, 3:]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = sd.register(fixed, moving, model, at=2, levels=1, engine=other)
    error = error_of(found, truth, fixed)
    assert found.converged == (error < _ENGINE_ERROR)
    assert found.converged == (model == "rigid")
    messages = [str(w.message) for w in told if "did not converge" in str(w.message)]
    assert len(messages) == (not found.converged)
    assert all("better a little way" in message for message in messages)


@pytest.mark.slow
def test_engines_flag_iterations_that_run_out(other: str) -> None:
    fixed = _oblique()
    moving = moved_image(fixed, _known("rigid", fixed))
    with pytest.warns(UserWarning, match="the 3 iterations were used up"):
        found = sd.register(fixed, moving, metric="mean_squares", at=4, iterations=3, levels=1,
                            engine=other)  # fmt: skip
    assert not found.converged


def test_engines_register_flat_images(other: str) -> None:
    fixed = phantom()[16].data
    image = sd.SpatialArray(fixed, spacing=(2, 2), unit="mm")
    moved = image.replace(origin=(2.5, -1.5))
    found = sd.register(image, moved, "rigid", metric="mean_squares", initial="world", levels=1,
                        engine=other)  # fmt: skip
    np.testing.assert_allclose(found([[9.0, 40.0]]), [[11.5, 38.5]], atol=_ENGINE_ERROR)


def _rippled_plane() -> tuple[sd.SpatialArray, sd.SpatialArray, Any]:
    """An image in the plane, the same one warped and shifted, and the map that leads to it."""
    rng = np.random.default_rng(3)
    fixed = sd.SpatialArray(np.zeros((40, 44)), spacing=(2, 1.5), origin=(7, -30), unit="mm")
    waves = list(zip(rng.normal(0, 0.2, (30, 2)), rng.uniform(0, 7, 30), strict=True))

    def values(points: Any) -> Any:
        at = points - fixed.center
        total = 200 + sum(30 * np.cos(at @ wave + phase) for wave, phase in waves)
        return (total * np.exp(-(((at / [28, 22]) ** 2).sum(-1) ** 2))).astype(np.float32)

    def truth(points: Any) -> Any:
        at = np.asarray(points) - fixed.center
        return points + 2.5 * np.sin(at[..., ::-1] / 12) + [40.0, 0.0]

    points = fixed.index_to_physical(np.moveaxis(np.indices(fixed.shape), 0, -1))
    moving = fixed.replace(origin=(47, -30))
    there, back = points + [40.0, 0.0], points.copy()
    for _ in range(40):  # moving(truth(p)) = fixed(p)
        back = there - (truth(back) - back)
    return fixed.replace(values(points)), moving.replace(values(back)), truth


@pytest.mark.slow
@pytest.mark.library
@pytest.mark.parametrize("metric", ["mean_squares", "correlation"])
def test_syn_finds_a_smooth_deformation_and_is_applied_lazily(metric: str) -> None:
    pytest.importorskip("ants", reason="needs antspyx")
    da = pytest.importorskip("dask.array", reason="needs dask")
    fixed, moving, truth = _rippled_plane()
    spoilt = moving.replace(moving.data.copy())
    spoilt[:, :6] = 900  # left out by the mask
    mask = moving.replace(np.indices(moving.shape)[1] >= 7)
    shift = Affine([[1, 0, 40], [0, 1, 0], [0, 0, 1]], fixed.world)
    found = sd.register(fixed, spoilt, "syn", metric=metric, levels=2, initial=shift,
                        moving_mask=mask, engine="ants")  # fmt: skip
    assert [type(part).__name__ for part in found.parts] == ["DisplacementField", "Affine"]
    assert found.parts[1] == shift
    assert found.converged
    assert found.trusted
    points = fixed.index_to_physical(np.argwhere(fixed.data > 60))
    before = np.linalg.norm(shift(points) - truth(points), axis=1)
    after = np.linalg.norm(found(points) - truth(points), axis=1)
    assert after.mean() < 0.35 * before.mean()
    assert after.mean() < 0.75  # half a voxel
    lazy = moving.replace(da.from_array(moving.data, chunks=16))
    fine = fixed.geometry.zoom_to((80, 88))
    there = sd.resample(lazy, fine, transform=found)
    assert isinstance(there.data, da.Array)
    whole = sd.resample(moving, fine, transform=found)
    np.testing.assert_allclose(np.asarray(there.compute()), np.asarray(whole), atol=1e-3)


@pytest.mark.library
@pytest.mark.slow
def test_syn_of_an_oblique_volume_in_another_frame_begins_with_an_affine_map() -> None:
    pytest.importorskip("ants", reason="needs antspyx")
    fixed, moving, field = rippled()
    start = rigid(fixed.center, fixed.world, (0.3, -0.2, 0.4), (3, 2, 1))
    # Both images and the field are turned by the same motion.
    fixed, moving = [moved_image(image, start) for image in (fixed, moving)]
    moving = moving.to_frame("RAS").to_world("xyz")
    found = sd.register(fixed, moving, "syn", metric="mean_squares", at=4, levels=1,
                        initial="world", engine="ants")  # fmt: skip
    assert {log.model for log in found.log} == {"affine", "syn"}
    points = fixed.index_to_physical(np.argwhere(fixed.data > 60))
    truth = start(field(start.inverse()(points)))
    before = np.linalg.norm(points - truth, axis=1).mean()
    assert np.linalg.norm(found(points) - truth, axis=1).mean() < 0.6 * before


def test_a_map_that_folds_space_is_not_trusted() -> None:
    """Whatever engine found it."""

    class Folding(Engine):
        name, models = "folding", ("bspline",)

        def run(self, job: Any) -> Any:
            grid = job.levels[-1].fixed.geometry
            at = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
            vectors = 4 * np.sin((at - grid.center) / 2)
            image = sd.SpatialArray(vectors, grid.expand_dims(2).repeat(2, 2))
            found = sd.DisplacementField(image)
            return self.outcome(job, found, [self.log(job, 0, [1.0], "it ends", True)])

    fixed, _, _ = _rippled_plane()
    with pytest.warns(UserWarning, match="did not converge|not to be trusted"):
        found = sd.register(fixed, fixed, "bspline", engine=Folding(), levels=1, initial="world")
    assert not found.trusted
    assert "folds space at" in found.doubt


def test_engines_refuse_what_they_cannot_do(other: str) -> None:
    fixed = phantom()
    with pytest.raises(ValueError, match="'ants' searches for translation"):
        sd.register(fixed, fixed, "bspline", at=4, engine=other)
    with pytest.raises(RegistrationError, match="4 voxels or more"):
        sd.register(fixed[14], fixed, at=2, initial="world", engine=other)
    still = Affine.identity(fixed.world)
    with pytest.raises(RegistrationError, match="take more slices"):
        sd.register(fixed[14], fixed, "syn", at=2, initial=still, engine=other)
    with pytest.raises(ValueError, match="that has engine ants"):
        sd.register(fixed, fixed, "syn", at=4)
    both = sd.transforms.Composite(Affine.identity(fixed.world), Affine.identity(fixed.world))
    with pytest.raises(RegistrationError, match="starts from an Affine"):
        sd.register(fixed, fixed, at=4, initial=both, engine=other)


@pytest.mark.parametrize(
    "engine, missing, package",
    [("simpleitk", "SimpleITK", "SimpleITK"), ("ants", "ants", "antspyx")],
)  # fmt: skip
def test_an_engine_that_is_not_installed_is_named_before_anything_is_read(
    engine: str, missing: str, package: str, monkeypatch: Any
) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")

    def read(block: Any) -> Any:
        raise AssertionError("a block was read")

    image = phantom()
    lazy = image.replace(da.from_array(image.data, chunks=16).map_blocks(read, dtype="f4"))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=f"needs '{package}'"):
        sd.register(lazy, lazy, at=4, engine=engine)
