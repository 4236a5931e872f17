"""PyTorch's functions of images that hold its tensors, by the rules of NumPy's functions.

A function is called on the bare tensors, so that values, types and gradients are PyTorch's own.
The tables here say which of NumPy's functions moves voxels in the same way; its rule gives the
geometry. Functions in no table raise; none returns a bare tensor by accident.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.array import _carry as carry
from spatial_duck.array import _dispatch as dispatch
from spatial_duck.array._state import ImageState
from spatial_duck.errors import GeometryError
from spatial_duck.rules import RULES, find
from spatial_duck.rules._rule import elementwise_geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["torch_function"]


class _NumpyCall(NamedTuple):
    """A call of a NumPy function that moves voxels as a call of PyTorch's does."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


#: Functions that work voxel by voxel, or leave each where it was: of `torch`, `torch.Tensor` and
#: `torch.nn.functional`.
_ELEMENTWISE = """
    abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2
    arctanh asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip clone conj copysign cos cosh
    deg2rad detach div divide empty_like eq erf erfc erfinv exp exp2 expm1 fix float_power floor
    floor_divide fmax fmin fmod frac full_like ge greater greater_equal gt hypot imag isclose
    isfinite isinf isnan isneginf isposinf isreal ldexp le lerp less less_equal lgamma log log10
    log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit lt maximum
    minimum mul multiply nan_to_num ne neg negative nextafter not_equal ones_like positive pow
    rad2deg rand_like randn_like real reciprocal remainder round rsqrt rsub sgn sigmoid sign signbit
    sin sinc sinh sqrt square sub subtract tan tanh true_divide trunc where xlogy zeros_like
    __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__
    __rtruediv__ __itruediv__ __div__ __rdiv__ __idiv__ __floordiv__ __rfloordiv__ __mod__ __rmod__
    __imod__ __pow__ __rpow__ __ipow__ __and__ __rand__ __iand__ __or__ __ror__ __ior__ __xor__
    __rxor__ __ixor__ __lt__ __le__ __gt__ __ge__ __eq__ __ne__
    add_ sub_ mul_ div_ pow_ copy_ fmod_ remainder_ clamp_ logical_and_ logical_or_
    celu dropout elu feature_dropout gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu
    log_softmax logsigmoid mish normalize relu relu6 selu silu softmax softmin softplus softshrink
    softsign tanhshrink threshold
    binary_cross_entropy binary_cross_entropy_with_logits huber_loss l1_loss mse_loss smooth_l1_loss
"""
_REDUCTIONS = """
    all amax amin any argmax argmin count_nonzero logsumexp mean nanmean nansum norm prod std sum
    var
"""
#: Functions called on the bare tensors; their results are not images.
_BARE = "__getitem__ __setitem__ allclose equal is_complex is_floating_point is_nonzero numel"


def _reduction(input: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> _NumpyCall:
    return _NumpyCall(np.sum, (input,), {"axis": dim, "keepdims": keepdim})


def _norm(
    input: Any,
    p: Any = None,  # noqa: ARG001
    dim: Any = None,
    keepdim: bool = False,
    **_: Any,
) -> _NumpyCall:
    return _reduction(input, dim, keepdim)


def _extreme(input: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> _NumpyCall:
    if isinstance(dim, ImageState) or hasattr(dim, "dtype"):  # torch.max of two
        return _NumpyCall(None, (input, dim), {})
    return _reduction(input, dim, keepdim)


def _pad(input: Any, pad: Sequence[int], mode: str = "constant", value: Any = None) -> _NumpyCall:  # noqa: ARG001
    if min(pad, default=0) < 0:
        raise GeometryError(f"torch.nn.functional.pad: widths below 0, got {pad!r}; slice first")
    widths = [(0, 0)] * (input.ndim - len(pad) // 2)
    widths += [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]  # the last axis first
    modes = {"replicate": "edge", "circular": "wrap"}
    return _NumpyCall(np.pad, (input, widths), {"mode": modes.get(mode, mode)})


def _split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> _NumpyCall:
    n, size = tensor.shape[dim], split_size_or_sections
    ends = range(size, n, size) if isinstance(size, int) else np.cumsum(size)[:-1].tolist()
    return _NumpyCall(np.array_split, (tensor, list(ends)), {"axis": dim})


def _flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> _NumpyCall:
    start, end = start_dim % input.ndim, end_dim % input.ndim
    shape = input.shape
    joined = int(np.prod(shape[start : end + 1]))
    return _NumpyCall(np.reshape, (input, (*shape[:start], joined, *shape[end + 1 :])), {})


def _squeeze(input: Any, dim: Any = None) -> _NumpyCall:
    dims = range(input.ndim) if dim is None else np.atleast_1d(dim).tolist()
    return _NumpyCall(
        np.squeeze, (input,), {"axis": tuple([d for d in dims if input.shape[d] == 1])}
    )


#: By name; each takes PyTorch's arguments.
_TRANSLATED: dict[str, Callable[..., _NumpyCall]] = {
    **dict.fromkeys(_REDUCTIONS.split(), _reduction),
    "norm": _norm,
    **dict.fromkeys(("max", "min"), _extreme),
    **dict.fromkeys(("median", "nanmedian", "mode"), _reduction),
    **dict.fromkeys(
        ("cat", "concat", "concatenate"),
        lambda tensors, dim=0: _NumpyCall(np.concatenate, (tensors,), {"axis": dim}),
    ),
    "stack": lambda tensors, dim=0: _NumpyCall(np.stack, (tensors,), {"axis": dim}),
    "flip": lambda input, dims: _NumpyCall(np.flip, (input,), {"axis": dims}),
    "permute": lambda input, dims: _NumpyCall(np.transpose, (input, dims), {}),
    **dict.fromkeys(
        ("transpose", "swapaxes", "swapdims"),
        lambda input, dim0, dim1: _NumpyCall(np.swapaxes, (input, dim0, dim1), {}),
    ),
    **dict.fromkeys(
        ("movedim", "moveaxis"),
        lambda input, source, destination: _NumpyCall(
            np.moveaxis, (input, source, destination), {}
        ),
    ),
    "squeeze": _squeeze,
    "unsqueeze": lambda input, dim: _NumpyCall(np.expand_dims, (input,), {"axis": dim}),
    "reshape": lambda input, shape: _NumpyCall(np.reshape, (input, tuple(shape)), {}),
    "flatten": _flatten,
    "ravel": lambda input: _NumpyCall(np.ravel, (input,), {}),
    "rot90": lambda input, k=1, dims=(0, 1): _NumpyCall(np.rot90, (input, k, tuple(dims)), {}),
    "roll": lambda input, shifts, dims=None: _NumpyCall(np.roll, (input, shifts), {"axis": dims}),
    "tile": lambda input, dims: _NumpyCall(np.tile, (input, dims), {}),
    "repeat_interleave": lambda input, repeats, dim=None: _NumpyCall(
        np.repeat, (input, repeats), {"axis": dim}
    ),
    "broadcast_to": lambda input, size: _NumpyCall(np.broadcast_to, (input, tuple(size)), {}),
    "index_select": lambda input, dim, index: _NumpyCall(
        np.take, (input, backends.as_numpy(index)), {"axis": dim}
    ),
    "cumsum": lambda input, dim, **_: _NumpyCall(np.cumsum, (input,), {"axis": dim}),
    "cumprod": lambda input, dim, **_: _NumpyCall(np.cumprod, (input,), {"axis": dim}),
    "diff": lambda input, n=1, dim=-1: _NumpyCall(np.diff, (input, n), {"axis": dim}),
    "sort": lambda input, dim=-1, **_: _NumpyCall(np.sort, (input,), {"axis": dim}),
    "argsort": lambda input, dim=-1, **_: _NumpyCall(np.sort, (input,), {"axis": dim}),
    "split": _split,
    "pad": _pad,
}
#: NumPy's names of parameters, which PyTorch takes too.
_ALIASES = {"axis": "dim", "keepdims": "keepdim"}


@cache
def _function_table() -> dict[Any, Any]:
    """Return the treatment of each function of PyTorch: True for elementwise, None for bare."""
    import torch

    homes = (torch, torch.Tensor, torch.nn.functional, torch.special)
    known: dict[str, Any] = {
        **dict.fromkeys(_ELEMENTWISE.split(), True), **dict.fromkeys(_BARE.split()), **_TRANSLATED,
    }  # fmt: skip
    return {
        getattr(home, name): kind
        for name, kind in known.items()
        for home in homes
        if hasattr(home, name)
    }


def torch_function(
    function: Any, types: Sequence[type], args: tuple[Any, ...], kwargs: dict[str, Any] | None
) -> Any:
    """Do the work of `SpatialArray.__torch_function__`.

    Raises
    ------
    TypeError
        If no rule says what the function does to geometry, or an image holds no tensor.
    """
    kwargs = dict(kwargs or {})
    for t in types:
        if not (issubclass(t, ImageState) or backends.is_known(t)):
            return NotImplemented
    name = f"torch.{getattr(function, '__name__', function)}"
    images: list[ImageState] = []
    _, data = dispatch.split_images(args, images)
    _, data_kwargs = dispatch.split_keywords(kwargs, images)
    for image in images:
        if (library := backends.library(image.data)) != "torch":
            raise TypeError(
                f"{name} takes images that hold PyTorch's tensors, got one on {library}: use "
                "image.to('torch')"
            )
    kinds = _function_table()
    has_out = kwargs.get("out") is not None
    if function not in kinds or has_out:
        raise TypeError(
            f"spatial_duck has no rule for {name}{' with out=' * has_out}, so that it "
            "cannot say where its result would lie; call it on image.data"
        )
    kind = kinds[function]
    if kind is None:
        return function(*data, **data_kwargs)
    if kind is True:
        same = _NumpyCall(None, (*args, *kwargs.values()), {})
    else:
        parameters = inspect.signature(kind).parameters
        aliases = {k: v for k, v in _ALIASES.items() if v in parameters}
        same = kind(*args, **{aliases.get(k, k): v for k, v in kwargs.items()})
    result = function(*data, **data_kwargs)
    if any(result is value for value in data):  # in place, into a bare tensor
        return result
    return _wrap_result(name, same, images, result)


def _wrap_result(name: str, same: _NumpyCall, images: list[ImageState], result: Any) -> Any:
    """Return a result as images with the geometry that NumPy's rule gives."""
    grids, _ = dispatch.split_images(same.args, [])
    if same.function is None:
        geometry = elementwise_geometry(
            name, *[v for v in grids if not isinstance(v, str | list | tuple)]
        )
        coords = carry.elementwise(images, geometry.shape)
        return dispatch.wrap_result(result, geometry, images, coords=coords)
    rule = RULES.get(same.function) or find(same.function)
    assert rule is not None
    coords = carry.function_coords(same.function, rule, same.args, same.kwargs, images)
    geometry = rule.geometry(*grids, **same.kwargs)
    return dispatch.wrap_result(result, geometry, images, coords=coords)
