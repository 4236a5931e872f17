"""nnU-Net's resampling: its own functions are the referee, where they are installed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_duck.learning import (
    resample_data_or_seg_to_shape,
    resample_data_or_seg_to_spacing,
    resample_logits_to_labels,
)

pytest.importorskip("scipy", reason="needs scipy")

SHAPES = [((9, 14, 11), (15, 9, 20)), ((5, 16, 16), (20, 8, 31)), ((12, 1, 7), (6, 3, 7)),
          ((8, 8, 8), (16, 16, 16)), ((7, 9, 5), (7, 9, 5))]  # fmt: skip
SPACINGS = [((1, 1, 1), (1, 1, 1)), ((5, 1, 1), (1, 1, 1)), ((1, 1, 1), (1, 4, 1)),
            ((1, 1, 6), (1, 1, 2)), ((1, 4, 4), (1, 1, 1))]  # fmt: skip


def theirs() -> Any:
    return pytest.importorskip(
        "nnunetv2.preprocessing.resampling.default_resampling", reason="needs nnunetv2"
    )


def blobs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return labels in blobs, as organs are."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(4, *shape))
    return np.argmax([gaussian_filter(n, 1.5) for n in noise], axis=0)[None]


@pytest.mark.library
@pytest.mark.filterwarnings("ignore")  # of nnU-Net's own imports
@pytest.mark.parametrize("force", [None, False, True])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("shapes, spacings", [*itertools.product(SHAPES, SPACINGS)])
def test_numbers_are_nnunets(shapes: Any, spacings: Any, order: int, force: bool | None) -> None:
    nnunet = theirs()
    data = np.random.default_rng(1).normal(size=(2, *shapes[0])).astype(np.float32)
    for order_z in (0, 1, 3):
        arguments = (shapes[1], *spacings, False, order, order_z, force)
        ours = resample_data_or_seg_to_shape(data, *arguments)
        expected = nnunet.resample_data_or_seg_to_shape(data, *arguments)
        assert ours.dtype == expected.dtype
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.library
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("force", [None, True])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("shapes, spacings", [*itertools.product(SHAPES, SPACINGS)])
def test_labels_are_nnunets(shapes: Any, spacings: Any, order: int, force: bool | None) -> None:
    nnunet = theirs()
    labels = blobs(shapes[0]).astype(np.int8)
    for order_z in (0, 1):
        arguments = (shapes[1], *spacings, True, order, order_z, force)
        ours = resample_data_or_seg_to_shape(labels, *arguments)
        expected = nnunet.resample_data_or_seg_to_shape(labels, *arguments)
        assert ours.dtype == expected.dtype
        # Where two labels are as near in a plane rounding decides, and the axis that goes by itself
        # spreads that to its neighbours.
        assert (ours == expected).mean() > 0.99
        if order_z == 0:
            apart = (ours != expected) & (_lead(labels, arguments) > 1e-9)
            assert not apart.any()


def _lead(labels: np.ndarray, arguments: Any) -> np.ndarray:
    """Return by how much the score of the best label is above that of the next."""
    shape, *spacings, _, order, order_z, force = arguments
    scores = [
        resample_data_or_seg_to_shape(
            (labels == k).astype(float), shape, *spacings, False, order, order_z, force
        )
        for k in (*np.unique(labels), 99)
    ]
    *_, second, first = np.sort(scores, axis=0)
    return first - second


@pytest.mark.slow
@pytest.mark.library
@pytest.mark.filterwarnings("ignore")
def test_spacing_gives_nnunets_shape() -> None:
    data = np.random.default_rng(1).normal(size=(1, 9, 14, 11)).astype(np.float32)
    for spacings in (((1, 1, 1), (0.7, 1.3, 2)), ((3, 0.5, 0.5), (1, 1, 1))):
        ours = resample_data_or_seg_to_spacing(data, *spacings)
        expected = theirs().resample_data_or_seg_to_spacing(data, *spacings)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def scipys(values: np.ndarray, shape: Any, order: int) -> np.ndarray:
    from scipy.ndimage import zoom

    factors = np.array(shape) / values.shape
    found = zoom(values, factors, order=order, mode="nearest", grid_mode=True)
    return np.clip(found, values.min(), values.max())


@pytest.mark.slow
@given(
    st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 12)] * 3),
    st.sampled_from([0, 1, 3, 5]),
)  # fmt: skip
def test_numbers_are_those_of_zoom(old: Any, new: Any, order: int) -> None:
    data = np.random.default_rng(1).normal(size=(1, *old))
    found = resample_data_or_seg_to_shape(data, new, (1, 1, 1), (1, 1, 1), order=order)
    if order:  # a tie of two voxels falls where rounding lets it
        np.testing.assert_allclose(found[0], scipys(data[0], new, order), rtol=0, atol=1e-5)
    assert np.isin(found, data).all() or order


@given(
    st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([1, 3]), st.sampled_from([None, True, False]), st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=40)
def test_labels_are_those_of_the_largest_indicator(
    old: Any, new: Any, order: int, force: bool | None, seed: int
) -> None:
    labels = np.random.default_rng(seed).choice([0, 3, 7], (1, *old))
    found = resample_data_or_seg_to_shape(labels, new, (1, 1, 1), (1, 1, 1), True, order)[0]
    if old == new:
        return
    scores = {k: scipys((labels[0] == k) * 1.0, new, order) for k in np.unique(labels)}
    top = np.max(list(scores.values()), axis=0)
    mine = np.choose(np.searchsorted(list(scores), found), list(scores.values()))
    assert (mine >= top - 1e-6).all()


@pytest.mark.slow
@pytest.mark.parametrize("slab", [1, 200, 1 << 20])
@pytest.mark.parametrize("order, order_z", [(1, 0), (1, 1), (0, 0), (3, 0), (1, 3)])
@pytest.mark.parametrize("axis", [None, 0, 2])
def test_the_largest_logit_is_that_of_the_whole(
    slab: int, order: int, order_z: int, axis: int | None, monkeypatch: Any
) -> None:
    monkeypatch.setattr("spatial_duck.learning._resizing._SLAB_VOXELS", slab)
    logits = np.random.default_rng(2).normal(size=(5, 7, 6, 8)).astype(np.float32)
    spacing = [1.0, 1, 1]
    if axis is not None:
        spacing[axis] = 5
    given_ = ((17, 9, 5), spacing, (1, 1, 1))
    wanted = {"order": order, "order_z": order_z, "force_separate_z": None}
    whole = resample_data_or_seg_to_shape(logits, *given_, **wanted)
    found = resample_logits_to_labels(logits, *given_, **wanted)
    assert found.dtype == np.uint8
    assert (found == whole.argmax(0)).mean() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("is_seg", [False, True])
@pytest.mark.parametrize("order, order_z", [(0, 0), (1, 0), (1, 1), (3, 0), (3, 3)])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("length", [9, 150])
def test_slabs_give_the_whole(
    length: int, axis: int | None, order: int, order_z: int, is_seg: bool, monkeypatch: Any
) -> None:
    shape = (90, 6, 5)
    data = blobs(shape) if is_seg else np.random.default_rng(3).normal(size=(1, *shape))
    spacing = [5.0 if a == axis else 1 for a in range(3)]
    arguments = ((length, 9, 5), spacing, (1, 1, 1), is_seg, order, order_z, None)
    whole = resample_data_or_seg_to_shape(data, *arguments)
    monkeypatch.setattr("spatial_duck.learning._resizing._SLAB_VOXELS", 1)
    found = resample_data_or_seg_to_shape(data, *arguments)
    if order > 1:  # but for what lies farther away than a spline looks
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-7)
    else:
        np.testing.assert_array_equal(found, whole)


def test_chunks_of_logits_are_read_a_few_times() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    reads: list[str] = []

    class Counted(zarr.storage.MemoryStore):  # type: ignore[misc, name-defined]
        async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
            reads.append(key)
            return await super().get(key, *args, **kwargs)

    store = Counted()
    logits = zarr.create_array(store, shape=(2, 64, 8, 8), chunks=(1, 16, 8, 8), dtype="f4")
    logits[...] = np.random.default_rng(4).normal(size=(2, 64, 8, 8))
    expected = np.asarray(logits[...])
    reads.clear()
    given_ = ((128, 400, 400), (1, 1, 1), (1, 1, 1))
    found = resample_logits_to_labels(logits, *given_)
    assert max(reads.count(key) for key in reads if "/c/" in f"/{key}") <= 2
    assert (found == resample_logits_to_labels(expected, *given_)).all()


def test_logits_are_read_in_parts(no_compute: Any) -> None:
    class Stored:
        """Counts the most that is read at once."""

        shape, most = (3, 64, 8, 8), 0

        def __getitem__(self, key: Any) -> np.ndarray:
            found = np.ones(self.shape, np.float32)[key]
            self.most = max(self.most, found.size)
            return found

    stored = Stored()
    import spatial_duck.learning._resizing as module

    before, module._SLAB_VOXELS = module._SLAB_VOXELS, 1 << 12
    try:
        resample_logits_to_labels(stored, (128, 16, 16), (2, 2, 2), (1, 1, 1))
    finally:
        module._SLAB_VOXELS = before
    assert stored.most < 64 * 64 / 4


def test_logits_that_are_no_numbers_are_the_largest() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 5, 6, 7)).astype(np.float32)
    logits[rng.random(logits.shape) < 0.1] = np.nan
    logits[rng.random(logits.shape) < 0.2] = -np.inf
    logits[:, 0, 0, :3] = np.array([np.nan, -np.inf, np.inf])
    for shape, order in ((logits.shape[1:], 1), ((5, 6, 9), 0)):
        given_ = (shape, (1, 1, 1), (1, 1, 1))
        whole = resample_data_or_seg_to_shape(logits, *given_, order=order)
        found = resample_logits_to_labels(logits, *given_, order=order)
        np.testing.assert_array_equal(found, whole.argmax(0))


@pytest.mark.library
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("gradients", [False, True])
def test_tensors_as_networks_leave_them(kind: str, gradients: bool) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    tensor = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4, 5, 6)))
    tensor = tensor.to(getattr(torch, kind))
    values = tensor.float().numpy() if kind == "bfloat16" else tensor.numpy()
    tensor = tensor.permute(0, 3, 1, 2).requires_grad_(gradients)
    values = values.transpose(0, 3, 1, 2)
    given_ = ((7, 8, 9), (1, 1, 1), (1, 1, 1))
    for function in (resample_data_or_seg_to_shape, resample_logits_to_labels):
        found = function(tensor, *given_, order=1)
        np.testing.assert_array_equal(found, function(values, *given_, order=1))


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, np.nan, 1), (1, 1), (1, -1, 1)], ids=repr)
def test_spacings_are_three_positive_numbers(wrong: Any) -> None:
    data = np.zeros((1, 3, 4, 5))
    for spacings in ((wrong, (1, 1, 1)), ((1, 1, 1), wrong)):
        with pytest.raises(ValueError, match="three positive numbers, got"):
            resample_data_or_seg_to_shape(data, (3, 4, 6), *spacings)
        with pytest.raises(ValueError, match="three positive numbers, got"):
            resample_data_or_seg_to_spacing(data, *spacings)
        with pytest.raises(ValueError, match="three positive numbers, got"):
            resample_logits_to_labels(data, (3, 4, 6), *spacings)


@pytest.mark.parametrize(
    "shape, new, order, match",
    [
        ((3, 4, 5), (3, 4, 5), 1, "four|c, x, y, z"),
        ((1, 3, 4, 5), (3, 4), 1, "three whole lengths"),
        ((1, 3, 4, 5), (3, 4, 5.5), 1, "three whole lengths"),
        ((1, 3, 4, 5), (3, 4, 0), 1, "1 or more"),
        ((1, 3, 4, 5), (3, 4, 6), 2, "order must be"),
    ],
)
def test_what_cannot_be_is_refused(shape: Any, new: Any, order: int, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        resample_data_or_seg_to_shape(np.zeros(shape), new, (1, 1, 1), (1, 1, 1), order=order)
