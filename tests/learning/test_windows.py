"""A network in windows, lazily, against the same in memory; and its answer, back on the scanner's
grid, in files."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.testing import DeviceArray, assert_lazy
from tests.effort import examples

TURN = np.array([[0.98, -0.199, 0.0], [0.199, 0.98, 0.0], [0.0, 0.0, -1.0]])


def _direction(ndim, seed):
    """A rotation, or one with a reflection."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(ndim, ndim)))[0]


def _lazily(backend, data, chunks):
    chunks = tuple(min(chunks, n) for n in data.shape)
    if backend == "dask":
        return pytest.importorskip("dask.array", reason="needs dask").from_array(data, chunks)
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    array = zarr.create_array(
        zarr.storage.MemoryStore(), shape=data.shape, chunks=chunks, dtype=data.dtype
    )
    array[...] = data
    return array


def _network(values, origin, classes):
    """What a network does: its answer depends on all of the window, and is wrong at its ends.

    That it also depends on where the window lies in the world shows that windows know their place.
    """
    context = values.mean() + np.sin(origin.sum())
    ramp = sum(np.linspace(-1, 1, n).reshape([-1 if i == a else 1 for i in range(values.ndim)])
               for a, n in enumerate(values.shape))  # fmt: skip
    return np.stack([np.sin((k + 1) * values) + k * context * ramp for k in range(classes)])


def _starts(length, window, overlap):
    """First voxels of the windows along an axis."""
    if length <= window:
        return [-((window - length) // 2)]
    step = window - min(round(window * overlap), window - 1)
    return [*range(0, length - window, step), length - window]


def _counts(starts, k, window, length, overlap):
    """How much window number k counts at each voxel of an axis."""
    voxels = np.arange(length) - starts[k]
    if len(starts) == 1:
        return np.ones(length)
    if round(window * overlap) == 0:  # cut in the middle of what neighbours share
        middle = [-(-(a + window + b) // 2) for a, b in itertools.pairwise(starts)]
        ends = [0, *middle, length]
        return ((np.arange(length) >= ends[k]) & (np.arange(length) < ends[k + 1])) * 1.0
    bell = np.exp(-0.5 * ((voxels - (window - 1) / 2) / (window / 8)) ** 2)
    return bell * ((voxels >= 0) & (voxels < window))


def _directly(values, grid, window, overlap, classes):
    """The sum of all windows with their weights, divided by the sum of the weights."""
    every = [_starts(n, w, overlap) for n, w in zip(values.shape, window, strict=True)]
    total, weights = np.zeros((classes, *values.shape)), np.zeros(values.shape)
    for number in itertools.product(*[range(len(s)) for s in every]):
        start = [s[k] for s, k in zip(every, number, strict=True)]
        reach = [np.clip(np.arange(s, s + w), 0, n - 1)  # the edge goes on outside
                 for s, w, n in zip(start, window, values.shape, strict=True)]  # fmt: skip
        answer = _network(values[np.ix_(*reach)], grid.index_to_physical(start), classes)
        inside = tuple(slice(max(-s, 0), min(w, n - s))
                       for s, w, n in zip(start, window, values.shape, strict=True))  # fmt: skip
        there = tuple(slice(max(s, 0), min(s + w, n))
                      for s, w, n in zip(start, window, values.shape, strict=True))  # fmt: skip
        counts = np.ones(values.shape)
        for axis, (s, k, w, n) in enumerate(zip(every, number, window, values.shape, strict=True)):
            shape = [-1 if a == axis else 1 for a in range(values.ndim)]
            counts = counts * _counts(s, k, w, n, overlap).reshape(shape)
        total[:, *there] += counts[there] * answer[:, *inside]
        weights[there] += counts[there]
    return total / weights


@st.composite
def _cases(draw):
    ndim = draw(st.integers(2, 3))
    axes = st.lists(st.integers(1, 13), min_size=ndim, max_size=ndim).map(tuple)
    windows = st.lists(st.integers(2, 9), min_size=ndim, max_size=ndim).map(tuple)
    return {
        "shape": draw(axes),
        "window": draw(windows),
        "overlap": draw(st.sampled_from([0, 0.25, 0.5])),
        "classes": draw(st.integers(2, 4)),
        "channels": draw(st.sampled_from([None, 0, ndim])),
        "seed": draw(st.integers(0, 99)),
        "chunks": draw(st.integers(2, 6)),
    }


@pytest.mark.parametrize("backend", ["dask", "zarr"])
@given(case=_cases())
@settings(max_examples=examples(40), deadline=None)
def test_windows_of_lazy_images_are_those_in_memory(backend, case):
    shape, axis, classes = case["shape"], case["channels"], case["classes"]
    rng = np.random.default_rng(case["seed"])
    data = rng.normal(size=shape).astype("f4")
    dims = list("zyx"[-len(shape) :])
    if axis is not None:
        data = np.stack([data, rng.normal(size=shape).astype("f4")], axis)
        dims.insert(axis, "c")
    place = {
        "dims": tuple(dims), "spacing": rng.uniform(0.5, 2, len(shape)),
        "origin": rng.normal(size=len(shape)) * 50,
        "direction": _direction(len(shape), case["seed"]),
    }  # fmt: skip
    image = sd.SpatialArray(_lazily(backend, data, case["chunks"]), **place)

    def predict(block):
        values = block.data if axis is None else block.data.sum(axis)
        return _network(values.astype("f8"), block.origin, classes).astype("f4")

    with assert_lazy():
        answer = sd.sliding_window(
            predict, image, window=case["window"], overlap=case["overlap"], plain={"k": classes}
        )
        labels = np.argmax(answer, axis=0).astype("u1")
    one = image if axis is None else image[(slice(None),) * axis + (0,)]
    assert labels.geometry == one.geometry
    assert answer[0].geometry == one.geometry
    assert answer.dims == ("k", *one.dims)
    values = (data if axis is None else data.sum(axis)).astype("f8")
    wanted = _directly(values, one.geometry, case["window"], case["overlap"], classes)
    found = answer.compute(scheduler="synchronous").data
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    largest = labels.compute(scheduler="synchronous").data
    np.testing.assert_array_equal(largest, found.argmax(axis=0))


# --- and back, into files -----------------------------------------------------------------


@pytest.fixture(scope="module")
def study():
    """An oblique scan on disk, and bright voxels of it, found in windows and brought back."""
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    pytest.importorskip("dask", reason="needs dask")
    z, y, x = np.ogrid[:30, :26, :22]
    ball = (z - 14) ** 2 + (0.8 * (y - 12)) ** 2 + (0.8 * (x - 9)) ** 2 < 60
    values = np.where(ball, 300, -100).astype("i2")
    array = zarr.create_array(
        zarr.storage.MemoryStore(), shape=values.shape, chunks=(12, 12, 12), dtype="i2"
    )
    array[...] = values
    place = {
        "spacing": (1.5, 0.8, 0.8), "origin": (-120, 40, 700), "direction": TURN,
        "frame": "LPS", "unit": "mm",
    }  # fmt: skip
    scan = sd.SpatialArray(array, **place)

    def predict(block):
        return np.stack([1 - block.data, block.data])

    with assert_lazy():
        there, record = sd.conform(
            scan, orientation="SPL", spacing=1.0, intensity=("ct-window", 40, 400), fill=-100
        )
        answer = sd.sliding_window(predict, there, window=16, overlap=0.5, plain={"c": 2})
        labels = sd.restore(np.argmax(answer, axis=0).astype("u1"), record, kind="label")
    assert labels.geometry == scan.geometry
    found = labels.compute(scheduler="synchronous")
    assert (found.data != ball).mean() < 0.02  # it went to another grid and back
    assert 500 < found.data.sum() < ball.size / 2
    return scan, labels, found


def _is_back(again, found):
    """Check that voxels that were read lie where they were, whatever the order of their axes."""
    again = again.compute() if hasattr(again, "compute") else again
    moved = sd.resample(again.astype("u1"), to=found, interpolation="nearest")
    np.testing.assert_array_equal(moved.data, found.data)
    assert (again.data > 0).sum() == found.data.sum()  # and none lies beside


def test_labels_come_back_from_nifti(study, tmp_path):
    pytest.importorskip("nibabel", reason="needs nibabel")
    _, labels, found = study
    sd.write(tmp_path / "labels.nii.gz", labels)
    _is_back(sd.read(tmp_path / "labels.nii.gz").to_frame("LPS"), found)


@pytest.mark.parametrize("options", [{"version": "0.6"}, {"oblique": "keep"}])
def test_labels_come_back_from_ome_zarr(study, tmp_path, options):
    scan, labels, found = study
    sd.write(tmp_path / "scan.ome.zarr", scan, **options)
    sd.write(tmp_path / "scan.ome.zarr", labels, label="balls", **options)
    again = sd.read(tmp_path / "scan.ome.zarr", image="labels/balls")
    assert again.dtype == "u1"
    _is_back(again, found)


def test_labels_come_back_from_dicom(study, tmp_path):
    pytest.importorskip("pydicom", reason="needs pydicom")
    scan, labels, found = study
    sd.write(tmp_path / "scan", scan, format="dicom")
    sd.write(
        tmp_path / "balls.dcm", labels, kind="seg", segments={1: "ball"}, source=tmp_path / "scan"
    )
    _is_back(sd.read(tmp_path / "balls.dcm")[0], found)


def _on_device(values, chunks):
    """Return voxels on a stand-in for a GPU: in memory, or in the chunks of a Dask array."""
    if chunks is None:
        return DeviceArray(values)
    da = pytest.importorskip("dask.array", reason="needs dask")
    meta = DeviceArray(np.empty((0,) * values.ndim, values.dtype))
    return da.from_array(values, chunks).map_blocks(DeviceArray, meta=meta)


@pytest.mark.parametrize("chunks", [None, 9])
@pytest.mark.parametrize("intensity", [None, ("ct-window", 0, 2), "zscore", ("percentile", 5, 95)])
@pytest.mark.parametrize("blend", ["gaussian", "linear", None])
def test_from_the_scan_to_labels_nothing_leaves_the_device(blend, intensity, chunks):
    values = np.random.default_rng(0).normal(size=(20, 18, 16)).astype("f4")

    def network(block):
        assert type(block.data) is kind
        return np.stack([block.data, -block.data, block.data * 0.5])

    def labels(data):
        scan = sd.SpatialArray(data, spacing=(2, 1, 1), direction=TURN, frame="LPS")
        there, record = sd.conform(scan, spacing=1.5, orientation="SPL", intensity=intensity)
        scores = sd.sliding_window(
            network, there, window=8, overlap=0.5, blend=blend, plain={"c": 3}
        )
        return sd.restore(scores.argmax(axis="c").astype("u1"), record, kind="label")

    kind = np.ndarray
    wanted = labels(values)
    kind, DeviceArray.copies = DeviceArray, 0
    found = labels(_on_device(values, chunks)).compute()
    assert DeviceArray.copies == 0
    assert type(found.data) is DeviceArray
    assert found.geometry == wanted.geometry
    assert (found.data.get() != wanted.data).mean() < 1e-3
