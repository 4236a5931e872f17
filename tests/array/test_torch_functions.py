"""PyTorch's own functions on images that hold its tensors: its values, NumPy's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import GeometryMismatchError

pytestmark = pytest.mark.library

torch = pytest.importorskip("torch", reason="needs torch")
F = torch.nn.functional

VALUES = np.random.default_rng(3).random((4, 5, 6)).astype("f4")


def image(**more: Any) -> sd.SpatialArray:
    turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    how: dict[str, Any] = {"spacing": (1, 2, 3), "origin": (1, 2, 3), "direction": turn,
                           "frame": "LPS", "unit": "mm"}  # fmt: skip
    return sd.SpatialArray(torch.from_numpy(VALUES.copy()), **how | more)


def f(label: str, theirs: Any, ours: Any) -> Any:
    return pytest.param(theirs, ours, id=label)


#: A call of PyTorch's, and the call of NumPy's that moves voxels in the same way.
CALLS = [
    f("abs", torch.abs, np.abs),
    f("relu", F.relu, np.abs),
    f("gelu", F.gelu, np.abs),
    f("softmax", lambda x: F.softmax(x, dim=1), np.abs),
    f("where", lambda x: torch.where(x > 0.5, x, 0), np.abs),
    f("tensor +", lambda x: torch.ones(6) + x, np.abs),
    f("tensor -", lambda x: torch.ones(6).sub(x), np.abs),
    f("tensor /", lambda x: torch.ones(6) / x, np.abs),
    f("tensor >", lambda x: torch.ones(6) > x, np.abs),
    f("sum", lambda x: torch.sum(x, 0), lambda x: np.sum(x, 0)),
    f("mean axis", lambda x: torch.mean(x, axis=(0, 2)), lambda x: np.mean(x, (0, 2))),
    f("keepdim", lambda x: torch.amax(x, 1, keepdim=True), lambda x: np.max(x, 1, keepdims=True)),
    f("norm", lambda x: torch.norm(x, 2, 1), lambda x: np.sum(x, 1)),
    f("maximum of two", lambda x: torch.max(x, torch.ones(6)), np.abs),
    f("cat", lambda x: torch.cat([x[:1], x[1:]]), lambda x: np.concatenate([x[:1], x[1:]])),
    f("stack", lambda x: torch.stack([x, x], 1), lambda x: np.stack([x, x], 1)),
    f("flip", lambda x: torch.flip(x, (0, 2)), lambda x: np.flip(x, (0, 2))),
    f("permute", lambda x: torch.permute(x, (2, 0, 1)), lambda x: np.transpose(x, (2, 0, 1))),
    f("transpose", lambda x: torch.transpose(x, 0, 2), lambda x: np.swapaxes(x, 0, 2)),
    f("movedim", lambda x: torch.movedim(x, 0, 2), lambda x: np.moveaxis(x, 0, 2)),
    f("squeeze", lambda x: torch.squeeze(x[:1]), lambda x: np.squeeze(x[:1])),
    f("squeeze dim", lambda x: torch.squeeze(x[:1], 1), lambda x: x[:1]),
    f("unsqueeze", lambda x: torch.unsqueeze(x, 1), lambda x: np.expand_dims(x, 1)),
    f("flatten", lambda x: torch.flatten(x, 1), lambda x: np.reshape(x, (4, 30))),
    f("reshape", lambda x: torch.reshape(x, (4, 30)), lambda x: np.reshape(x, (4, 30))),
    f("rot90", lambda x: torch.rot90(x, 1, (1, 2)), lambda x: np.rot90(x, 1, (1, 2))),
    f("roll", lambda x: torch.roll(x, 2, 0), lambda x: np.roll(x, 2, 0)),
    f("repeat", lambda x: torch.repeat_interleave(x, 2, 1), lambda x: np.repeat(x, 2, 1)),
    f("select", lambda x: torch.index_select(x, 0, torch.tensor([1, 3])), lambda x: x[1::2]),
    f("cumsum", lambda x: torch.cumsum(x, 0), lambda x: np.cumsum(x, 0)),
    f("diff", lambda x: torch.diff(x, dim=0), lambda x: np.diff(x, axis=0)),
    f("pad", lambda x: F.pad(x, (1, 2, 0, 3)), lambda x: np.pad(x, ((0, 0), (0, 3), (1, 2)))),
    f("pad reflect", lambda x: F.pad(x, (1, 2), "replicate"),
      lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2)), "edge")),
    f("loss", lambda x: F.mse_loss(x, x, reduction="none"), np.abs),
]  # fmt: skip


@pytest.mark.parametrize("theirs, ours", CALLS)
def test_values_are_pytorchs_and_the_place_is_that_of_numpys_function(
    theirs: Any, ours: Any
) -> None:
    found, wanted = theirs(image()), theirs(torch.from_numpy(VALUES.copy()))
    assert isinstance(found, sd.SpatialArray)
    assert torch.equal(found.data, wanted)
    place = ours(sd.SpatialArray(VALUES, image().geometry))
    assert found.geometry == place.geometry
    assert found.lost == place.lost


def test_results_of_several_parts() -> None:
    found = torch.max(image(), 1)
    assert type(found).__name__ == "max"
    assert torch.equal(found.values.data, torch.from_numpy(VALUES).max(1).values)
    assert found.indices.geometry == np.max(image(), axis=1).geometry
    pieces = torch.split(image(), 3)
    assert [p.geometry for p in pieces] == [image()[:3].geometry, image()[3:].geometry]


def test_coordinates_go_along() -> None:
    some = image(coords={"echo_time": ("z", [1, 2, 3, 4])})
    assert list(torch.flip(some, (0,)).coords["echo_time"]) == [4, 3, 2, 1]
    assert list(torch.sqrt(some).coords["echo_time"]) == [1, 2, 3, 4]
    assert "echo_time" not in torch.sum(some, 0).coords


def test_gradients_flow() -> None:
    data = torch.from_numpy(VALUES.copy()).requires_grad_()
    torch.sum(F.relu(sd.SpatialArray(data, spacing=2)) ** 2).backward()
    assert torch.allclose(data.grad, 2 * data.detach())


def test_scalars_are_pytorchs() -> None:
    assert type(torch.sum(image())) is torch.Tensor
    assert torch.allclose(image(), image()) is True
    assert F.mse_loss(image(), image()) == 0


def test_in_place_into_a_tensor() -> None:
    target = torch.ones(4, 5, 6)
    kept = target
    target += image()
    assert target is kept
    assert torch.equal(target, torch.from_numpy(VALUES) + 1)


@pytest.mark.parametrize("call", [torch.add, F.mse_loss, lambda a, b: torch.cat([a, b], 1)])
def test_images_that_are_apart_do_not_mix(call: Any) -> None:
    with pytest.raises(GeometryMismatchError):
        call(image(), image(origin=(0, 0, 0)))


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda x: F.interpolate(x[None, None], scale_factor=2), "interpolate"),
        (lambda x: F.conv3d(x[None, None], torch.ones(1, 1, 1, 1, 1)), "conv3d"),
        (lambda x: torch.nn.Conv3d(1, 1, 1)(x[None, None]), "conv3d"),
        (lambda x: torch.sum(x, 0, out=torch.zeros(5, 6)), "out="),
        (lambda x: torch.fft.fftn(x), "fft"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(call: Any, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        call(image())


def test_images_on_other_libraries_are_refused() -> None:
    with pytest.raises(TypeError, match=r"torch\.sum takes .* image\.to\('torch'\)"):
        torch.sum(sd.SpatialArray(VALUES))


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(3)), st.integers(0, 2), st.integers(0, 2))
def test_chains_keep_each_voxel_where_it_was(order: list[int], axis: int, width: int) -> None:
    numbers = np.arange(60, dtype="f4").reshape(3, 4, 5)
    g = sd.SpatialArray(numbers, image()[:3, :4, :5].geometry)
    x = torch.flip(torch.permute(g.to("torch"), order), (axis,))
    x = F.pad(x, (width, 1), value=-1)
    for index in np.argwhere(np.asarray(x) >= 0):
        number = int(np.asarray(x)[tuple(index)])
        before = g.index_to_physical(np.unravel_index(number, numbers.shape))
        assert np.allclose(x.index_to_physical(index), before, atol=1e-9)
