"""Objects by volume, growth by distance, and numbers, against SciPy's answers for each label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import spatial_duck as sd
from spatial_duck import segmentation

ndi = pytest.importorskip("scipy.ndimage", reason="needs scipy")

SPACING = (2.0, 0.5, 1.0)
OBLIQUE = np.linalg.qr(np.array([[1.0, 2, 3], [0, 1, 4], [5, 6, 0]]))[0]
SHEARED = OBLIQUE.copy()
SHEARED[:, 2] = (OBLIQUE[:, 2] + 0.5 * OBLIQUE[:, 1]) / np.sqrt(1.25)
LABELS = arrays(np.int16, (4, 5, 6), elements=st.sampled_from([0, 0, -3, 7, 300]))


def image(data: Any, direction: Any = OBLIQUE, **given: Any) -> sd.SpatialArray:
    return sd.SpatialArray(data, spacing=SPACING, direction=direction, unit="mm", **given)


def parts_of(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return value and mask of each connected part, by value and in C order."""
    found = []
    for value in np.unique(labels[labels != 0]).tolist():
        numbers, count = ndi.label(labels == value)
        found += [(value, numbers == k) for k in range(1, count + 1)]
    return found


def lazily(data: np.ndarray, chunks: Any) -> Any:
    da = pytest.importorskip("dask.array", reason="needs dask")
    return da.from_array(data, chunks=chunks)


@pytest.mark.slow
@given(LABELS, st.integers(1, 3), st.sampled_from([None, (4, 5, 6), (3, 2, 4), (1, 5, 1)]))
def test_the_largest_parts_of_each_label_stay(
    labels: np.ndarray, count: int, chunks: tuple[int, ...] | None
) -> None:
    expected = np.zeros_like(labels)
    for value in np.unique(labels).tolist():
        parts = [mask for v, mask in parts_of(labels) if v == value]
        for mask in sorted(parts, key=lambda m: -m.sum())[:count]:  # stable: the first in C order
            expected[mask] = value
    given_ = image(labels if chunks is None else lazily(labels, chunks))
    found = segmentation.keep_largest(given_, count)
    assert found.geometry == given_.geometry
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(np.asarray(found.compute()), expected)


@pytest.mark.slow
@given(LABELS, st.floats(0, 12), st.sampled_from([None, (3, 2, 4)]))
def test_parts_of_less_volume_go(
    labels: np.ndarray, volume: float, chunks: tuple[int, ...] | None
) -> None:
    expected = labels.copy()
    for _, mask in parts_of(labels):
        if mask.sum() * np.prod(SPACING) < volume:
            expected[mask] = 0
    given_ = image(labels if chunks is None else lazily(labels, chunks))
    found = segmentation.remove_small_objects(given_, volume)
    np.testing.assert_array_equal(np.asarray(found.compute()), expected)


def test_a_volume_is_in_the_world() -> None:
    pint = pytest.importorskip("pint", reason="needs pint")
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[0, 0, :3] = 1  # 3 mm³
    labels[3, 3:, 4:] = 1  # 4 mm³ on any grid
    for direction in (np.eye(3), OBLIQUE):
        for volume, left in ((3.0, 7), (3.5, 4), (4.0, 4), (4.001, 0)):
            for asked in (volume, pint.Quantity(volume / 1000, "cm**3")):
                found = segmentation.remove_small_objects(image(labels, direction), asked)
                assert int(found.sum()) == left
    with pytest.raises(ValueError, match=r"image's unit mm\^3"):
        segmentation.remove_small_objects(image(labels), "4 mm")
    for text in (
        "4 mm^3",
        "4mm**3",
        "4e9 um³",
        "0.004 cm3",
        "4e-3 ml",
        "0.004 mL",
        "4 µl",
        "4e-6 L",
    ):
        assert int(segmentation.remove_small_objects(image(labels), text).sum()) == 4, text
    for text in ("4 mm", "4 mm^2", "4 s^3", "4", "ml", "4 ml^3", "4 ML"):
        with pytest.raises(ValueError, match="such as '5 ml'"):
            segmentation.remove_small_objects(image(labels), text)
    plane = image(labels)[3]
    assert int(segmentation.remove_small_objects(plane, "0.02 cm²").sum()) == 4
    assert int(segmentation.remove_small_objects(plane, "2.1 mm^2").sum()) == 0
    assert int(segmentation.remove_small_objects(plane[3], "2 mm").sum()) == 2
    # A sheared voxel is smaller than the product of its sides.
    small = segmentation.remove_small_objects(image(labels, SHEARED), 3.9)
    assert int(small.sum()) == 0


def test_each_time_has_its_own_largest() -> None:
    movie = np.zeros((2, 3, 8), np.uint8)
    movie[0, 0, :5] = movie[0, 2, :2] = movie[1, 0, :1] = movie[1, 2, :3] = 4
    given_ = sd.SpatialArray(movie, dims=("t", "y", "x"), spacing=(3.0, 1.0, 1.0))
    for data in (movie, lazily(movie, (1, 2, 3))):
        found = segmentation.keep_largest(given_.replace(data=data)).compute()
        assert [int((f != 0).sum()) for f in np.asarray(found)] == [5, 3]


def brute_force(labels: np.ndarray, steps: np.ndarray, distance: float) -> list[set[int]]:
    """Return for each voxel the labels that are nearest within the distance."""
    places = np.argwhere(np.ones(labels.shape)) @ steps.T
    values = labels.ravel()
    inside = np.flatnonzero(values)
    found = []
    for at, value in zip(places, values.tolist(), strict=True):
        far = np.sqrt(((places[inside] - at) ** 2).sum(1))
        near = far <= min(distance, far.min(initial=np.inf)) + 1e-6
        found.append({value} if value else set(values[inside[near]].tolist()) or {0})
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "direction", [np.eye(3), OBLIQUE, SHEARED], ids=["square", "turned", "lean"]
)
@given(
    labels=arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 0, 0, 0, 1, 9])),
    distance=st.sampled_from([0.0, 0.5, 1.2, 2.0, 3.3]),
    chunks=st.sampled_from([None, (2, 2, 3), (3, 1, 2)]),
)
def test_labels_grow_to_the_nearest(
    direction: np.ndarray, labels: np.ndarray, distance: float, chunks: Any
) -> None:
    given_ = image(labels if chunks is None else lazily(labels, chunks), direction)
    found = segmentation.expand_labels(given_, distance)
    assert found.dtype == labels.dtype
    steps = direction * SPACING
    values = np.asarray(found.compute()).ravel().tolist()
    for value, wanted in zip(values, brute_force(labels, steps, distance), strict=True):
        assert value in wanted
    alone = segmentation.expand_labels(image(labels, direction), distance)
    assert values == np.asarray(alone).ravel().tolist()  # of two as near, chunks take the same


@given(LABELS, st.sampled_from([None, (3, 2, 4)]))
def test_numbers_are_in_order_and_lead_back(labels: np.ndarray, chunks: Any) -> None:
    given_ = image(labels if chunks is None else lazily(labels, chunks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spatial_duck.ndimage._running.SLAB_VOXELS", 70)
        found, values = segmentation.relabel_sequential(given_)
    values = values if chunks is None else values.compute()
    numbers = np.asarray(found.compute())
    np.testing.assert_array_equal(values[numbers], labels)
    assert values.tolist() == [0, *np.unique(labels[labels != 0]).tolist()]


@pytest.mark.parametrize("backend", ["dask", "zarr3"], indirect=True)
@pytest.mark.parametrize(
    "work",
    [
        segmentation.keep_largest,
        lambda x: segmentation.remove_small_objects(x, 2.0),
        lambda x: segmentation.expand_labels(x, 1.0),
        lambda x: segmentation.relabel_sequential(x)[0],
    ],
    ids=["largest", "small", "expand", "relabel"],
)
def test_nothing_is_computed_early(backend: Any, no_compute: Any, work: Any) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    lazy = image(backend.make(labels), attrs={"a": 1}, coords={"side": ("x", list("abcdef"))})
    with no_compute():
        found = work(lazy)
    assert found.attrs == {"a": 1}
    assert found.coords["side"].values.tolist() == list("abcdef")
    np.testing.assert_array_equal(
        np.asarray(found.compute()), np.asarray(work(image(labels)).compute())
    )


@pytest.mark.parametrize(
    "work", [segmentation.keep_largest, segmentation.relabel_sequential,
             lambda x: segmentation.expand_labels(x, 1)], ids=["largest", "relabel", "expand"],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(0, 5, 6), (1, 1, 1)])
def test_empty_and_single(work: Any, shape: tuple[int, ...]) -> None:
    found = work(image(np.ones(shape, np.uint8)))
    found = found[0] if isinstance(found, tuple) else found
    assert found.shape == shape
    assert np.asarray(found).all()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: segmentation.keep_largest(x, 0),
        lambda x: segmentation.remove_small_objects(x, -1),
        lambda x: segmentation.expand_labels(x, np.nan),
        lambda x: segmentation.keep_largest(x, structure=np.ones((3, 3))),
    ],
    ids=["count", "volume", "distance", "structure"],
)
def test_what_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="got"):
        wrong(image(np.ones((2, 2, 2), np.uint8)))
    with pytest.raises(TypeError, match="type float64"):
        segmentation.keep_largest(image(np.ones((2, 2, 2))))
