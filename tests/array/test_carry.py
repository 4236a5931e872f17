"""Where functions take coordinates: each voxel keeps its labels as it keeps its place."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.array import _carry as carry
from spatial_duck.geometry import _align as align
from spatial_duck.rules import find
from spatial_duck.testing._operations import chains, keys, operations
from spatial_duck.testing._oracles import NO_VOXEL, false_labels, voxel_labels, voxel_numbers
from tests.effort import examples

MODEST = hypothesis.settings(
    max_examples=examples(30), suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)
LONG = hypothesis.settings(MODEST, max_examples=2000)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
DIMS = ("t", "z", "y", "x")


def _labelled(data: Any, shape: tuple[int, ...]) -> sd.SpatialArray:
    coords = {f"at {a}": (a, index) for a, index in enumerate(voxel_labels(shape))}
    return sd.SpatialArray(data, dims=DIMS[-len(shape) :], coords=coords)


def _labels(image: Any) -> dict[int, tuple[int | None, Any]]:
    """Return the axis and the values of the labels that are left, by source axis."""
    return {int(name[3:]): (h.axis, h.values) for name, h in (image._coords or {}).items()}


def _followed(numbers: np.ndarray[Any, Any], shape: tuple[int, ...]) -> set[int]:
    """Return the source axes whose index is a function of one axis of the result."""
    if not numbers.size or (numbers == NO_VOXEL).any():
        return set()
    out = set()
    for a, index in enumerate(np.unravel_index(numbers, shape)):
        varying = [j for j in range(numbers.ndim) if (index != index.take([0], axis=j)).any()]
        if len(varying) <= 1:
            out.add(a)
    return out


def _check(image: Any, result: Any, complete: bool = True) -> None:
    if not isinstance(result, sd.SpatialArray):
        return
    numbers = np.asarray(result.data)
    labels = _labels(result)
    assert false_labels(labels, numbers, image.shape) is None
    if complete:
        assert _followed(numbers, image.shape) <= set(labels), "labels were lost"


@hypothesis.given(st.data())
def test_a_function_that_moves_voxels_moves_their_labels(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    image = _labelled(voxel_numbers(shape), shape)
    operation = data.draw(operations(shape))
    hypothesis.note(operation)
    _check(image, operation(image), complete=operation.name != "sliding_window_view")


@pytest.mark.slow
@hypothesis.given(st.data())
def test_a_key_with_arrays_takes_labels_one_by_one(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    image = _labelled(voxel_numbers(shape), shape)
    key = data.draw(keys(shape, advanced=True))
    hypothesis.note(repr(key))
    try:
        result = image[key]
    except IndexError:
        hypothesis.reject()
    _check(image, result, complete=False)


#: Functions of an image of shape (4, 3) that take voxels one by one.
ONE_BY_ONE = [
    "np.take(x, [3, 0, 0], axis=0)",
    "np.take(x, [[3, 0]], axis=0)",
    "np.take(x, 2, axis=1)",
    "np.take(x, [5, 1], axis=0, mode='wrap')",
    "np.take(x, np.array([-1, 0]), 1)",
    "np.delete(x, [0, 2], axis=0)",
    "np.delete(x, 1, axis=1)",
    "np.repeat(x, 2, axis=1)",
    "np.repeat(x, [1, 0, 2, 1], axis=0)",
    "np.compress([True, False, False, True], x, axis=0)",
    "np.roll(x, 1, axis=0)",
    "np.roll(x, (1, 2), axis=(0, 1))",
    "np.roll(x, (1, 1), axis=(0, 0))",
    "np.tile(x, (2, 1))",
    "np.tile(x, (2, 1, 3))",
    "np.tile(x, 2)",
    "np.resize(x, (7, 3))",
    "np.fft.fftshift(x)",
    "np.fft.ifftshift(x, axes=1)",
    "np.insert(x, 1, -1, axis=0)",
    "np.insert(x, [0, 4], -1, axis=0)",
    "np.insert(x, 1, np.full((2, 3), -1), axis=0)",
    "np.append(x[:2], x[2:], axis=0)",
    "np.append(x[2:], x[:2], axis=0)",
    "np.vstack([x[:1], x[1:]])",
    "np.hstack([x[:, :1], x[:, 1:]])",
    "np.block([[x[:2, :1], x[:2, 1:]], [x[2:, :1], x[2:, 1:]]])",
    "np.concatenate([x[3:], x[:1]])",
    "np.concatenate(list(x[:, None]))",
    "np.stack(list(x))",
    "np.stack([x[:, 2], x[:, 0]], axis=1)",
    "np.stack([x[2], x[2]])",
    "np.unstack(x, axis=1)[1]",
    "np.broadcast_arrays(x[:, :1], x)[1]",
    "x[[0, 3], 1]",
    "x[[0, 3], [1, 1]]",
    "x[[0, 3, 1], [1, 2, 0]]",
    "x[np.ix_([3, 0], [2, 0])]",
    "x[x.data > 4]",
    "x[[True, False, True, True]]",
    "x[np.array([1, 1])]",
    "x[[2]]",
    "x[:, [1]]",
    "x[[[0], [3]], [[1, 2, 0]]]",
    "np.where(x.data >= 0, x, x)",
    "np.extract([True, False, True, True], x[:, 0])",
    "np.trim_zeros(x + 1) - 1",
    "np.flip(np.rot90(x), 0)",
    "np.linalg.diagonal(x)",
    "np.einsum('ij->ji', x)",
    "np.ravel(x[:, 0])",
    "np.copy(x)",
    "np.asarray([0]) + x",
    "np.add.outer(x, np.zeros(2, int))",
    "np.squeeze(x[:1])",
    "x.reshape(4, 1, 3)",
    "np.maximum(x, x[0] * 0)",
    "x - x[0] + x[0]",
]


@pytest.mark.parametrize("text", ONE_BY_ONE)
def test_functions_that_take_voxels_one_by_one(text: str) -> None:
    image = _labelled(voxel_numbers((4, 3)), (4, 3)).replace(
        geometry=sd.Geometry((4, 3), dims=("c", "d"))
    )
    _check(image, eval(text, {"np": np, "x": image}))


@pytest.mark.parametrize(
    "text, left",
    [
        ("np.cumsum(x, 0)", {1}),
        ("np.cumprod(x, axis=1)", {0}),
        ("np.add.accumulate(x, axis=1)", {0}),
        ("np.sort(x)", {0}),
        ("np.sort(x, axis=0)", {1}),
        ("np.argsort(x, axis=0)", {1}),
        ("np.partition(x, 1, axis=0)", {1}),
        ("np.diff(x, axis=0)", {1}),
        ("np.diff(x, n=2, axis=0)", {1}),
        ("np.fft.fft(x, axis=0)", {1}),
        ("np.fft.fft2(x)", set()),
        ("np.sum(x, 0)", {1}),
        ("np.sum(x[:3], 0)", {1}),
        ("np.sum(x, 0, keepdims=True)", {1}),
        ("x.mean(-1)", {0}),
        ("np.add.reduce(x, axis=0)", {1}),
        ("np.median(x[:3], axis=0)", {1}),
        ("np.argmax(x, axis=0)", {1}),
        ("np.percentile(x, 50, axis=0)", {1}),
        ("np.percentile(x, [5, 50], axis=0)", {1}),
        ("np.einsum('ij->i', x)", {0}),
        ("np.gradient(x, axis=0)", {0, 1}),
        ("x @ np.eye(3)", {0}),
        ("np.linalg.norm(x, axis=1)", {0}),
        ("np.zeros_like(x)", {0, 1}),
        ("np.apply_along_axis(np.cumsum, 0, x)", {1}),
        ("np.ravel(x)", set()),
    ],
)
def test_labels_leave_where_values_of_several_indices_meet(text: str, left: set[int]) -> None:
    image = _labelled(voxel_numbers((4, 3)), (4, 3))
    assert set(_labels(eval(text, {"np": np, "x": image}))) == left


def _chain_is_true(backend: Any, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    image = result = _labelled(backend.make(voxel_numbers(shape)), shape)
    if shape[0] > 3 and data.draw(st.booleans()):  # an axis whose positions are lost at first
        result = image[[0, 1, 3]]
        assert result.geometry.lost
    for operation in data.draw(chains(result.shape)):
        hypothesis.note(operation)
        result = operation(result)
    numbers = backend.to_numpy(result.compute().data)
    assert false_labels(_labels(result), numbers, image.shape) is None


@pytest.mark.slow
@MODEST
@hypothesis.given(data=st.data())
def test_chains_keep_labels(backend: Any, data: st.DataObject) -> None:
    _chain_is_true(backend, data)


@pytest.mark.long
@LONG
@hypothesis.given(data=st.data())
def test_many_chains_keep_labels(backend: Any, data: st.DataObject) -> None:
    _chain_is_true(backend, data)


def test_a_lazy_mask_drops_labels() -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = _labelled(da.arange(12, chunks=5).reshape(4, 3), (4, 3))
    assert set(_labels(image[image.data[:, 0] > 2])) == {1}


def test_what_pads_is_unknown() -> None:
    coords = {
        "name": ("c", ["a", "b"]),
        "gain": ("c", [1.0, 2.0]),
        "time": ("c", np.array(["2020-01-01", "2020-01-02"], "M8[D]")),
        "number": ("c", [1, 2]),
        "vector": ("c", [[1.0, 0, 0], [0, 1, 0]]),
    }
    image = sd.SpatialArray(np.zeros((2, 3)), dims=("c", "x"), coords=coords)
    found = np.pad(image, ((1, 0), (0, 0))).coords
    assert list(found["name"]) == ["", "a", "b"]
    assert np.isnan(found["gain"][0])
    assert np.isnat(found["time"][0])
    assert np.isnan(found["vector"][0]).all()
    assert found["vector"].shape == (3, 3)
    assert "number" not in found


@pytest.mark.parametrize(
    "text, values, dims",
    [
        ("x - x[0]", [0, 1, 2], ("c",)),
        ("x[0] - x", [0, 1, 2], ("c",)),
        ("x - x[:1]", [0, 1, 2], ("c",)),
        ("x - x.replace(coords={})", [0, 1, 2], ("c",)),
        ("x - x.data[0]", [0, 1, 2], ("c",)),
        ("x + x", [0, 1, 2], ("c",)),
        ("x + x.replace(coords={'b': ('c', [5, 6, 7])})", None, None),
        ("x + x.replace(coords={'b': ('c', [0, 1, 2], {'unit': 's'})})", None, None),
        ("x.replace(geometry=p)[0] + x.replace(geometry=p)[1]", None, None),
        ("x[0] + x[0]", 0, ()),
        ("np.where(x[0].data > 0, x, x[0])", [0, 1, 2], ("c",)),
    ],
)
def test_images_keep_what_they_agree_on(text: str, values: Any, dims: Any) -> None:
    image = sd.SpatialArray(np.zeros((3, 4)), dims=("c", "x"), coords={"b": ("c", [0, 1, 2])})
    plain = sd.Geometry((3, 4), dims=(None, "x"))
    found = eval(text, {"np": np, "x": image, "p": plain}).coords
    assert ("b" in found) == (values is not None)
    if values is not None:
        assert found["b"].values.tolist() == values
        assert found["b"].dims == dims


# --- many pieces --------------------------------------------------------------------------


@MODEST
@hypothesis.given(
    st.sampled_from(["concatenate", "hstack", "vstack", "dstack", "column_stack"]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0, 1, 2]),
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5),
)
def test_pieces_go_where_the_rule_says(
    name: str, ndim: int, axis: int, parts: list[tuple[int, bool]]
) -> None:
    function, axis = getattr(np, name), axis % ndim
    if name != "concatenate":
        axis = {"vstack": 0, "dstack": 2}.get(name, min(ndim - 1, 1))
    if axis >= ndim or not any(is_image for _, is_image in parts):
        return
    total = sum(n for n, _ in parts)
    whole = sd.SpatialArray(
        np.zeros([total if a == axis else 2 for a in range(ndim)]),
        dims="pqr"[:ndim], coords={"label": ("pqr"[axis], [str(i) for i in range(total)])},
    )  # fmt: skip
    pieces, images, start = [], [], 0
    for n, is_image in parts:
        piece = whole[(slice(None),) * axis + (slice(start, start + n),)]
        pieces.append(piece if is_image else piece.data)
        images += [piece] if is_image else []
        start += n
    args = (pieces, axis) if name == "concatenate" else (pieces,)
    found = carry._moves_of_pieces(function, args, {})
    if found is None:
        return
    moves, shape = carry._moves_by_rule(find(function).geometry, args, {}, images)
    np.testing.assert_equal(found[0], moves)
    assert tuple(found[1]) == tuple(shape)


def test_images_on_one_grid_are_merged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image = sd.SpatialArray(
        np.arange(12.0).reshape(3, 4), dims="cx", coords={"label": ("c", list("abc"))}
    )
    met = []
    merge = align.merge
    monkeypatch.setattr(align, "merge", lambda *args: met.append(1) or merge(*args))
    counts = []
    for n in (2, 20):
        met.clear()
        found = np.select([image > k for k in range(n)], [image] * n)
        assert found.coords["label"].values.tolist() == list("abc")
        counts.append(len(met))
    assert counts[1] <= 15 * counts[0], f"{counts} merges of 4 and 40 images"


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_many_are_joined_without_a_run_of_the_rule_for_each(
    axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carry, "_run_on_index_grids", None)
    image = sd.SpatialArray(np.zeros((5, 4, 3)), dims="cyx", coords={"label": ("c", list("abcde"))})
    joined = np.concatenate([image[i : i + 1] for i in range(5)])
    assert joined.coords["label"].values.tolist() == list("abcde")
    stacked = np.stack([image[i] for i in range(5)], axis=axis)
    assert stacked.coords["label"].values.tolist() == list("abcde")
    assert stacked.coords["label"].dims == (stacked.dims[axis],)
    rows = np.stack([image, image], axis=axis)
    assert rows.coords["label"].dims == ("c",)
    assert rows.coords["label"].values.tolist() == list("abcde")
