"""Landmark fits find motions that are known, are least squares, and say what points leave open."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FrameError, GeometryError, RegistrationError
from spatial_duck.geometry import World
from spatial_duck.io import Markup, read_markups, write_markups
from spatial_duck.registration import LANDMARK_MODELS

PLANE, SPACE = World(("y", "x"), "mm"), World(("x", "y", "z"), "mm", "LPS")
SQUARE = [[0.0, 0, 0], [10, 0, 0], [0, 20, 0], [0, 0, 30]]


def _motion(rng: np.random.Generator, model: str, n: int) -> sd.Affine:
    """A motion of a model, by any angle."""
    linear = np.eye(n)
    if model != "translation":
        turn = np.linalg.qr(rng.normal(size=(n, n)))[0]
        turn[:, 0] *= np.sign(np.linalg.det(turn))
        linear = turn * (1 if model == "rigid" else rng.uniform(0.3, 3))
    if model == "affine":
        linear = linear @ (np.eye(n) + np.triu(rng.uniform(-0.8, 0.8, (n, n)), 1))
    matrix = np.eye(n + 1)
    matrix[:n, :n], matrix[:n, n] = linear, rng.uniform(-1e4, 1e4, n)
    return sd.Affine(matrix, PLANE if n == 2 else SPACE)


cases = st.tuples(
    st.integers(0, 2**32 - 1), st.sampled_from(LANDMARK_MODELS), st.sampled_from([2, 3])
)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 6), st.booleans())
def test_a_motion_without_errors_is_found(case: Any, more: int, weighted: bool) -> None:
    """From as many points as the model needs and more, wherever they lie, weighted or not."""
    seed, model, n = case
    rng = np.random.default_rng(seed)
    truth = _motion(rng, model, n)
    least = {"translation": 1, "affine": n + 1}.get(model, n)
    corners = np.vstack([np.zeros(n), np.eye(n)])[:least]  # span what the model needs
    points = np.vstack([corners, rng.normal(size=(more, n))]) * 40 + rng.uniform(-1e4, 1e4, n)
    weights = rng.uniform(0.1, 1e3, len(points)) if weighted else None
    found = sd.register_landmarks(points, truth(points), model, world=truth.world, weights=weights)
    assert isinstance(found, sd.Affine)
    assert found.world == truth.world
    np.testing.assert_allclose(found.matrix[:n, :n], truth.matrix[:n, :n], atol=1e-8)
    np.testing.assert_allclose(found(points), truth(points), atol=1e-7)
    assert found.rms < 1e-7
    assert found.residuals.shape == (len(points),)


@settings(max_examples=40, deadline=None)
@given(cases)
def test_no_motion_near_the_answer_brings_noisy_points_nearer(case: Any) -> None:
    seed, model, n = case
    rng = np.random.default_rng(seed)
    truth = _motion(rng, model, n)
    points, weights = rng.normal(size=(n + 5, n)) * 30, rng.uniform(0.1, 2, n + 5)
    targets = truth(points) + rng.normal(size=points.shape)
    found = sd.register_landmarks(points, targets, model, world=truth.world, weights=weights)
    linear = found.matrix[:n, :n]
    if model in ("translation", "rigid"):
        np.testing.assert_allclose(linear @ linear.T, np.eye(n), atol=1e-12)
    assert np.linalg.det(linear) > 0

    def cost(matrix: Any) -> float:
        apart = points @ matrix[:n, :n].T + matrix[:n, n] - targets
        return float(weights @ (apart**2).sum(axis=1))

    least = cost(found.matrix)
    assert found.rms == pytest.approx(np.sqrt(least / weights.sum()))
    np.testing.assert_allclose(found.residuals, np.linalg.norm(found(points) - targets, axis=1))
    for _ in range(6):
        step = np.eye(n + 1)
        step[:n, n] = rng.normal(size=n) * 1e-2
        if model != "translation":
            a, b = 1e-3 * rng.normal(size=2)
            turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
            axes = np.ix_(*[rng.choice(n, 2, replace=False)] * 2)
            step[axes] = turn
            if model in ("similarity", "affine"):
                step[:n, :n] *= 1 + b
        near = found.matrix @ step
        assert cost(near) >= least * (1 - 1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["rigid", "similarity", "affine"]),
       st.sampled_from([2, 3]))  # fmt: skip
def test_simpleitk_finds_the_same(seed: int, model: str, n: int) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="the referee")
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(8, n)) * 30
    targets = _motion(rng, model, n)(points) + rng.normal(size=points.shape)
    kinds = {"rigid": {2: sitk.Euler2DTransform, 3: sitk.VersorRigid3DTransform},
             "similarity": {2: sitk.Similarity2DTransform, 3: sitk.Similarity3DTransform},
             "affine": dict.fromkeys((2, 3), lambda: sitk.AffineTransform(n))}  # fmt: skip
    theirs = sitk.LandmarkBasedTransformInitializer(
        kinds[model][n](), points.ravel().tolist(), targets.ravel().tolist()
    )
    found = sd.register_landmarks(points, targets, model, world=("x", "y", "z")[:n])
    expected = [theirs.TransformPoint(p.tolist()) for p in points]
    if model == "similarity":
        # ITK takes the ratio of the extents as the scale, which is not least squares.
        assert np.linalg.norm(found(points) - targets) <= np.linalg.norm(expected - targets) + 1e-9
        turn = np.array(theirs.GetMatrix()).reshape(n, n)
        linear = found.matrix[:n, :n]
        roots = [np.linalg.det(m) ** (1 / n) for m in (linear, turn)]
        np.testing.assert_allclose(linear / roots[0], turn / roots[1], atol=1e-5)
        return
    np.testing.assert_allclose(found(points), expected, atol=1e-4)


def test_points_of_weight_0_do_not_count() -> None:
    shift = [1.0, 2, 3]
    moving = np.add(SQUARE, shift)
    moving[3] += 50
    found = sd.register_landmarks(SQUARE, moving, world=SPACE, weights=[1, 1, 1, 0])
    np.testing.assert_allclose(found([0.0, 0, 0]), shift, atol=1e-9)
    assert found.rms < 1e-9
    assert found.residuals[3] == pytest.approx(50 * np.sqrt(3))
    with pytest.raises(RegistrationError, match=r"fixed: .* 3 or more .* the 2 that count lie on"):
        sd.register_landmarks(SQUARE, moving, world=SPACE, weights=[1, 1, 0, 0])


def test_mirrored_points_are_never_reflected() -> None:
    mirrored = np.array(SQUARE) * [1, 1, -1]
    found = sd.register_landmarks(SQUARE, mirrored, world=SPACE)
    assert np.linalg.det(found.matrix) == pytest.approx(1)
    assert found.rms > 1
    with pytest.raises(RegistrationError, match="mirror image"):
        sd.register_landmarks(SQUARE, mirrored, "affine", world=SPACE)


def test_markups_come_in_their_frames_and_units(tmp_path: Any) -> None:
    fixed = Markup(SQUARE, labels=("a", "b", "c", "d"), frame="LPS")
    moving = Markup((np.array(SQUARE) + [1, 2, 3]) * [-1e3, -1e3, 1e3], ("a", "b", "c", "d"),
                    frame="RAS", unit="um")  # fmt: skip
    write_markups(tmp_path / "fixed.mrk.json", [fixed])
    (fixed,) = read_markups(tmp_path / "fixed.mrk.json")
    found = sd.register_landmarks(fixed, moving)
    assert found.world == SPACE
    np.testing.assert_allclose(found([0.0, 0, 0]), [1, 2, 3], atol=1e-9)
    image = sd.SpatialArray(np.zeros((2, 2, 2)), unit="mm", frame="LPS")
    there = sd.register_landmarks(fixed, moving, world=image)
    np.testing.assert_allclose(there([0.0, 0, 0]), [3, 2, 1], atol=1e-9)
    mixed = sd.register_landmarks(fixed, np.add(SQUARE, [1, 2, 3]), world=SPACE)
    np.testing.assert_allclose(mixed.matrix, found.matrix, atol=1e-9)


def test_it_goes_wherever_a_transform_goes(tmp_path: Any) -> None:
    image = sd.SpatialArray(np.arange(60.0).reshape(3, 4, 5), unit="mm", frame="LPS")
    found = sd.register_landmarks(SQUARE, np.add(SQUARE, [1, 1, 0]), world=image)
    np.testing.assert_allclose(sd.resample(image, image, transform=found)[0, 0], image[1, 1])
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert again.rms == found.rms
    assert "4 points" in repr(again)
    found.write(tmp_path / "found.json")
    np.testing.assert_allclose(sd.Transform.read(tmp_path / "found.json")(SQUARE), found(SQUARE))


LINE = np.outer(np.arange(5.0), [1, 2, 3])
FLAT = np.array(SQUARE) * [1, 1, 0] + [[0, 0, 7]]
NAMED = Markup(SQUARE, ("a", "b", "c", "d"))
REFUSED = {
    "no points": (np.empty((0, 3)), np.empty((0, 3)), {}, RegistrationError, "got none"),
    "a line": (LINE, LINE, {}, RegistrationError, "3 or more points that are not on one line"),
    "one place": (LINE * 0, LINE, {}, RegistrationError, "the 5 that count lie at one point"),
    "one place, moving": (SQUARE, np.zeros((4, 3)), {"model": "similarity"}, RegistrationError,
                          "moving: a similarity"),
    "a plane": (FLAT, FLAT, {"model": "affine"}, RegistrationError, "4 or more .* in one plane"),
    "numbers": (SQUARE, SQUARE[:3], {}, GeometryError, "4 and 3"),
    "columns": (SQUARE, SQUARE, {"world": PLANE}, GeometryError, r"shape \(n, 2\)"),
    "no world": (SQUARE, SQUARE, {"world": None}, GeometryError, "what the columns"),
    "half a world": (NAMED, SQUARE, {"world": None}, GeometryError, "what the columns"),
    "one axis": (SQUARE, SQUARE, {"world": ("x",)}, GeometryError, "two or three axes"),
    "not placed": ([*SQUARE, [np.nan] * 3], [*SQUARE, [0, 0, 0]], {}, GeometryError, r"\[4\]"),
    "a list": ([NAMED], NAMED, {}, GeometryError, "of a list, take one"),
    "an order": (NAMED, Markup(SQUARE, ("b", "a", "c", "d")), {}, GeometryError, "number 1 of mov"),
    "no frame": (NAMED, NAMED, {"world": ("x", "y", "z")}, FrameError, "unspecified"),
    "units": (SQUARE, SQUARE, {"world": World("xyz", ("mm", "mm", "um"))}, GeometryError, "unit"),
    "model": (SQUARE, SQUARE, {"model": "bspline"}, ValueError, "model must be one of"),
    "weights": (SQUARE, SQUARE, {"weights": [1, 1, -1, 1]}, ValueError, "weights must"),
    "no weight": (SQUARE, SQUARE, {"weights": [0] * 4}, ValueError, "not all 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    fixed, moving, options, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        sd.register_landmarks(fixed, moving, **{"world": SPACE, **options})


def test_a_rotation_that_is_left_open_is_refused() -> None:
    """The corners of a square onto its mirror image: any turn is as good."""
    square = np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]])
    with pytest.raises(RegistrationError, match="leave the rotation"):
        sd.register_landmarks(square, square * [1, -1], world=PLANE)
