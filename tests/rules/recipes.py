"""How each function of NumPy is called on images, and where its results must lie.

A recipe names a function and its arguments; `Im` stands for an image. `place` says where each
array of the result lies, one word for each of its axes, told by the axes of the first image:

- ``2``: the image's axis 2; ``2*0.5``: with half its step; ``2*-1``: backwards;
- ``0+1``: a step along both axes, as of a diagonal;
- ``.``: a plain axis; ``!``: a plain axis lost by the function; ``!name``: by that one.

An axis that no word names is left at its centre; `at` says otherwise, by axis. ``same`` is the
image's own geometry, ``bare`` no image, ``nowhere`` an array in no world, lost by the function, and
``free`` one that was never anywhere. Several results are told in a list. Functions that move voxels
need no place: the coordinate oracle finds it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RECIPES", "Fresh", "Im", "Recipe"]


class Im(NamedTuple):
    """An image among the arguments.

    Attributes
    ----------
    data : ndarray
        Its values.
    start : tuple of int
        Where its first voxel lies, in voxels of the grid that all images of a recipe are on.
    dims : str
        The letter of each axis.
    """

    data: np.ndarray[Any, Any]
    start: tuple[int, ...]
    dims: str


class Recipe(NamedTuple):
    """One call of a function."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    place: Any
    at: dict[int, float]
    label: str


_random = np.random.default_rng(3)


def im(*shape: int, dtype: Any = float, start: Any = None, dims: str = "", data: Any = None) -> Im:
    """Make an image of random values from 1 to 9."""
    if data is None:
        data = _random.uniform(1, 9, shape)
        if np.dtype(dtype).kind == "b":
            data = data > 5
        elif np.dtype(dtype).kind == "c":
            data = data + 1j * _random.uniform(1, 9, shape)
        data = data.astype(dtype)
    data = np.asarray(data)
    dims = dims or {0: "", 1: "x", 2: "yx", 3: "zyx", 4: "tzyx"}[data.ndim]
    return Im(data, start or (0,) * data.ndim, dims)


def like(image: Im, data: Any) -> Im:
    return Im(np.asarray(data), image.start, image.dims)


V = im(3, 4, 5)
VI = im(3, 4, 5, dtype="i4")
VB = im(3, 4, 5, dtype=bool)
VC = im(3, 4, 5, dtype=complex)
V2 = im(3, 4, 5)
VN = like(V, np.where(VB.data, np.nan, V.data))
S = im(4, 5)
SI = im(4, 5, dtype="i4")
SB = im(4, 5, dtype=bool)
L = im(6)
LI = im(6, dtype="i4")
LB = im(6, dtype=bool)
L3 = im(3)
#: Matrices, one for each t, that are well conditioned and symmetric.
_SQUARE = _random.uniform(-1, 1, (2, 4, 4)) + 5 * np.eye(4)
Q = im(data=_SQUARE, dims="tyx")
QS = im(data=_SQUARE + _SQUARE.swapaxes(-1, -2), dims="tyx")
Q1 = im(data=_SQUARE[0], dims="yx")
MAP = im(data=_random.uniform(1, 9, (4, 5, 3)), dims="yxc")
DAYS = im(data=np.array(["2024-01-02", "2024-01-05", "2024-02-06"], "M8[D]"), dims="x")
TEXT = im(data=np.array([["a b", "Cd"], ["e-f", "12"]]), dims="yx")
PAIRS = im(data=np.array([(1, 2.0), (3, 4.0), (5, 6.0)], [("p", "i4"), ("q", "f8")]), dims="x")

RECIPES: list[Recipe] = []


def R(names: str, *args: Any, place: Any = "same", at: Any = None, **kwargs: Any) -> None:
    """Enter a recipe for some functions; a name is where the function stands below `numpy`."""
    for name in names.split():
        label = f"{name}-{sum(r.name == name for r in RECIPES)}"
        RECIPES.append(Recipe(name, args, kwargs, place, at or {}, label))


# --- moves --------------------------------------------------------------------------------

R("flip", V)
R("flip", V, (0, -1))
R("fliplr flipud", V)
R("rot90", V)
R("rot90", V, 3, (0, 2))
R("rot90", V, k=2, axes=(1, 2))
R("transpose", V)
R("transpose", V, (1, 0, 2))
R("matrix_transpose linalg.matrix_transpose", V)
R("swapaxes", V, 0, -1)
R("moveaxis", V, 0, -1)
R("moveaxis", V, (0, 1), (-1, 0))
for _axis in (0, 1, 2, -1):
    for _start in (0, 1, 2, 3, -1):
        R("rollaxis", V, _axis, _start)
R("squeeze", im(1, 4, 1))
R("squeeze", im(1, 4, 1), axis=2)
R("expand_dims", V, 1)
R("expand_dims", V, (0, -1))
R("atleast_1d atleast_2d atleast_3d", L)
R("atleast_2d atleast_3d", S)
R("atleast_1d", S, L)
R("atleast_3d", V, 3.0, place=["same", "free"])
R("broadcast_to", S, (3, 4, 5))
R("broadcast_to", im(1, 5), (4, 5))
R("broadcast_arrays", S, L.data[:5], place=["same", "free"])
R("broadcast_arrays", V, S)
R("reshape", V, (3, 1, 4, 5))
R("reshape", im(3, 1, 5), (3, 5))
R("reshape", im(1, 4, 5), (-1, 5), order="F")
R("ravel", L)
R("ravel", V, place="!")
R("ravel", V, order="F", place="!")
R("ravel", V, "K", place="!")
R("pad", V, 1, constant_values=-1)
R("pad", V, ((1, 2), (0, 0), (3, 0)), "constant", constant_values=-1)
R("pad", S, (2, 0), mode="constant", constant_values=-1)
R("lib.stride_tricks.sliding_window_view", V, (2, 3), axis=(0, 2))
R("lib.stride_tricks.sliding_window_view", S, (2, 2))
R("take", V, [0, 2], axis=2)
R("take", V, 1, axis=1)
R("take", V, [3, 2, 1], 1)
R("take", V, [[0, 1], [2, 3]], 2)
R("take", V, [3, 9], axis=2, mode="clip")
R("take", V, [3, 9], axis=2, mode="wrap")
R("take", L, [1, 3, 5])
R("compress", [True, False, True], V, axis=0)
R("compress", [0, 1, 1, 1], S, axis=0)
R("delete", V, 0, axis=0)
R("delete", V, [0, 1], 2)
R("delete", V, slice(None, None, 2), axis=1)
R("diagonal", V)
R("diagonal", V, 1, 1, 2)
R("diagonal", V, -2, axis1=2, axis2=0)
R("linalg.diagonal", V, offset=-1)
R("trim_zeros", like(L, [0, 0, 3, 4, 0, 0]))
R("trim_zeros", like(L, [0, 0, 3, 4, 0, 0]), "b")
R("trim_zeros", like(L, [0, 0, 0, 0, 0, 0]))
R("concatenate", (V, im(2, 4, 5, start=(3, 0, 0))))
R("concatenate", [im(3, 2, 5), im(3, 3, 5, start=(0, 2, 0)), np.full((3, 1, 5), -1.0)], axis=1)
R("append", L, im(3, start=(6,)), 0)
R("append", L, im(3, start=(6,)))
R("append", V, np.full((3, 4, 1), -1.0), axis=2)
R("hstack", (S, im(4, 2, start=(0, 5))))
R("hstack", [L, im(3, start=(6,))])
R("vstack", (S, im(2, 5, start=(4, 0))))
R("vstack", [im(5), im(5)])
R("dstack", (V, im(3, 4, 2, start=(0, 0, 5))))
R("dstack", [S, S])
R("column_stack", [L, LI])
R("column_stack", [S, im(4, 2, start=(0, 5))])
R("stack", [V, V2])
R("stack", (V, np.full((3, 4, 5), -1.0), VI), axis=-1)
R("block", [V, im(3, 4, 2, start=(0, 0, 5))])
R("block", [[S, im(4, 2, start=(0, 5))], [im(3, 5, start=(4, 0)), im(3, 2, start=(4, 5))]])
R("block", [[S, np.full((4, 1), -1.0)]])
R("insert", V, 0, np.full((2, 1, 1), -1.0), axis=0)
R("insert", L, 6, [-1, -1])
R("insert", L, [0, 6], -1)
R("insert", V, 3, im(2, 4, 5, start=(3, 0, 0)), axis=0)
R("insert", L, 0, im(2, start=(-2,)), axis=0)
R("split", V, 2, axis=1)
R("split", V, [1, 3], -1)
R("array_split", V, 3, axis=2)
R("hsplit", V, 2)
R("hsplit", L, 3)
R("vsplit", V, [1])
R("dsplit", V, [2, 4])
R("unstack", V)
R("unstack", V, axis=-1)

# Some calls of these lose positions; what they lose is told here, not by the oracle.
R("reshape", V, (12, 5), place="! 2")
R("reshape", V, (3, 20), place="0 !")
R("take", V, [0, 1, 3], axis=2, place="0 1 !")
R("take", V, [5, 7, 9], place="!")
R("compress", [True, True, False, True, False], V, axis=2, place="0 1 !")
R("compress", like(im(3), [True, False, True]), V.data, axis=0, place="nowhere")
R("extract", VB.data, V, place="!")
R("extract", VB, V, place="!")
R("delete", V, [1, 2], axis=1, place="0 1*3 2")
R("delete", V, [2], axis=2, place="0 1 !")
R("insert", V, 1, 0.0, axis=0, place="! 1 2")
R("insert", V, [0, 1], 0.0, axis=0, place="! 1 2")
R("append", V, V2, place="!")
R("concatenate", (V, V2), axis=None, place="!")
R("diag", L, place="! !")
R("diag", S, 1, place="0+1", at={0: 0, 1: 1})
R("diagflat", S, place="! !")
R("take_along_axis", V, VI.data[:, :, :2] % 5, 2, place="0 1 !")
R("take_along_axis", V, like(V, VI.data % 5), axis=-1, place="0 1 !")
R("resize", V, (2, 4, 5), place="0 1 2")
R("resize", V, (7,), place="!")
R("repeat", V, 2, axis=1, place="0 1*0.5 2", at={1: -0.25})
R("repeat", V, [1, 2, 1], axis=0, place="! 1 2")
R("repeat", V, [3, 3, 3], 0, place="0*0.3333333333333333 1 2", at={0: -1 / 3})
R("repeat", V, 2, place="!")
R("tile", V, 2, place="0 1 2")
R("tile", V, (2, 1, 1, 3), place=". 0 1 2")

# --- elementwise --------------------------------------------------------------------------

R("i0 sinc iscomplex isreal fix isneginf isposinf", V)
R("real imag angle", VC)
R("angle", VC, deg=True)
R("real_if_close sort_complex", V)
R("round around", V, 1)
R("nan_to_num", VN, nan=2.5)
R("nan_to_num", VN, nan=V2)
R("astype", V, np.float32)
R("copy", V, order="F")
R("unwrap", V, axis=1)
R("triu tril", V, 1)
R("roll", V, 2, axis=1)
R("roll", V, (1, -1), (0, 2))
R("gradient", S, place=["same", "same"])
R("gradient", V, 0.5, axis=1)
R("cumsum cumprod nancumsum nancumprod", VN, axis=1)
R("cumsum cumprod nancumsum nancumprod", V, place="!")
R("cumulative_sum cumulative_prod", V, axis=2)
R("cumulative_sum", V, axis=2, include_initial=True, place="0 1 2", at={2: -1})
R("sort argsort", V)
R("sort argsort", V, axis=None, place="!")
R("partition argpartition", V, 2, 1)
R("partition", V, 2, axis=None, place="!")
R("lexsort", (L, LI))
R("lexsort", S, place="1")
R("where", VB, V, V2)
R("where", VB.data, 0, V)
R("where", VB, place=["nowhere"] * 3)
R("where", LB, place=["nowhere"])
R("clip", V, 2, 7)
R("clip", V, 2, V2)
R("clip", V, a_min=V2, a_max=None)
R("isclose", V, V2, 1e-3)
R("select", [VB, VB.data], [V, V2], 7)
R("choose", like(V, VI.data % 2), [V, V2])
R("choose", like(V, VI.data % 3), np.arange(3.0))
R("piecewise", V, [VB], [lambda x: -x, 0.0])
R("piecewise", V, [VB.data, ~VB.data], [1.0, 2.0])
R("isin", VI, [1, 2, 3], invert=True)
R("isin", VI.data, LI, place="free")
R("in1d", VI, [1, 2, 3], place="!")
R("digitize", V, [2.0, 5.0])
R("searchsorted", np.arange(9.0), V, "right")
R("searchsorted", like(L, np.arange(6.0)), [2.5, 4.0], place="free")
R("interp", V, [0.0, 5.0, 9.0], [1.0, 0.0, 2.0])
R("interp", [1.5, 2.5], like(L, np.arange(6.0)), L, place="free")
R("lib.scimath.arccos lib.scimath.arcsin lib.scimath.arctanh lib.scimath.log", V)
R("lib.scimath.log10 lib.scimath.log2 lib.scimath.sqrt", like(V, -V.data))
R("lib.scimath.logn", 3, V)
R("lib.scimath.power", like(V, -V.data), 0.5)
R("unravel_index", VI, (4, 5), place=["same", "same"])
R("ravel_multi_index", (like(V, VI.data % 3), like(V, VI.data % 4)), (3, 4))
R("polyval", [1.0, 2.0], V)
R("datetime_as_string", DAYS)
R("busday_count", DAYS, np.datetime64("2024-03-01"))
R("busday_offset", DAYS, 2, roll="forward")
R("is_busday", DAYS)
R("zeros_like ones_like", V)
R("zeros_like", V, dtype="i2")
R("ones_like", V, shape=(2, 2), place="free")
R("full_like", V, 3)
R("full_like", V, V2)

# --- neighbours, reductions ---------------------------------------------------------------

R("diff", V, place="0 1 2", at={2: 0.5})
R("diff", V, 2, 0, place="0 1 2", at={0: 1})
R("diff", L, prepend=0.0, place="0", at={0: -0.5})
R("diff", L, append=[0.0, 1.0], place="0", at={0: 0.5})
R("diff", im(4), append=im(2, start=(4,)), place="0", at={0: 0.5})
R("ediff1d", L, place="0", at={0: 0.5})
R("ediff1d", L, to_begin=[1.0, 2.0], place="0", at={0: -1.5})
R("ediff1d", V, place="!")
R("convolve", L, [1.0, 2.0, 1.0], "same")
R("convolve", L, [1.0, 2.0, 1.0], place="0", at={0: -1})
R("convolve", L, [1.0, 2.0, 1.0], "valid", place="0", at={0: 1})
R("convolve", [1.0, 2.0, 1.0, 3.0], L, "same", place="0", at={0: -0.5})
R("convolve", L, L3, place="!")
R("correlate", L, [1.0, 2.0, 1.0], "same")
R("correlate", L, [1.0, 2.0, 1.0], place="0", at={0: 1})
R("correlate", L, [1.0, 2.0], "full", place="0", at={0: -0.5})

_REDUCTIONS = (
    "sum prod nansum nanprod max min amax amin nanmax nanmin mean nanmean std var nanstd nanvar "
    "ptp median nanmedian argmax argmin nanargmax nanargmin count_nonzero linalg.norm"
)
R(_REDUCTIONS, V, axis=1, place="0 2")
R(_REDUCTIONS, V, axis=-1, keepdims=True, place="0 1 2*5", at={2: 2})
R("sum max mean std median count_nonzero linalg.norm", V, axis=(0, 2), place="1")
R(_REDUCTIONS, V, place="bare")
R("all any", VB, axis=0, place="1 2")
R("all any", VB, (0, 1), None, True, place="0*3 1*4 2", at={0: 1, 1: 1.5})
R("sum", V, axis=0, where=VB, place="1 2")
R("std", V, axis=0, mean=im(data=V.data.mean(0, keepdims=True)), place="1 2")
R("percentile", V, 30, axis=1, place="0 2")
R("quantile", V, 0.3, 0, keepdims=True, place="0*3 1 2", at={0: 1})
R("percentile", V, [10, 50], axis=1, place=". 0 2")
R("nanquantile", VN, [[0.1, 0.5]], axis=1, place=". . 0 2")
R("nanpercentile", V, 50, axis=(1, 2), place="0")
R("nanpercentile", V, (10, 50), place=".")
R("quantile", V, 0.5, axis=0, method="inverted_cdf", weights=V2, place="1 2")
R("average", V, axis=1, weights=V2, place="0 2")
R("average", V, 2, im(5), place="0 1")
R("average", V, axis=0, returned=True, place=["1 2", "1 2"])
R("trapezoid trapz", V, axis=0, place="1 2")
R("trapezoid trapz", V, im(5), place="0 1")
R("trace", V, place="2", at={0: 1, 1: 1})
R("trace", V, 1, 1, 2, place="0", at={1: 1.5, 2: 2.5})
R("linalg.trace", V, offset=-1, place="0", at={1: 2, 2: 1})
R("linalg.vector_norm", V, axis=1, place="0 2")
R("linalg.matrix_norm", V, place="0")
R("linalg.matrix_norm", V, keepdims=True, place="0 1*4 2*5", at={1: 1.5, 2: 2})
R("linalg.det linalg.cond linalg.matrix_rank", Q, place="0")
R("linalg.slogdet", Q, place=["0", "0"])
R("linalg.det", Q1, place="bare")
R("apply_over_axes", np.sum, V, (0, 2), place="0*3 1 2*5", at={0: 1, 2: 2})
R("apply_along_axis", np.sum, 1, V, place="0 2")
R("apply_along_axis", np.sort, 1, V, place="0 ! 2")
R("apply_along_axis", lambda x: np.outer(x, x), 0, V, place="! ! 1 2")

# --- linear algebra -----------------------------------------------------------------------

_W = _random.uniform(1, 9, (5, 2))
R("linalg.matmul", V, _W, place="0 1 !matmul")
R("linalg.matmul", _W.T, im(5, 4), place="!matmul 1")
R("linalg.matmul", Q, Q, place="0 1 !matmul")
R("linalg.vecdot", V, V2, place="0 1")
R("linalg.vecdot", V, _W[:, 0], place="0 1")
R("linalg.vecdot", V, V2, axis=0, place="1 2")
R("dot", V, _W, place="0 1 !")
R("dot", V, _W[:, 0], place="0 1")
R("dot", V, 2.0)
R("dot", Q1, Q1, place="0 !")
R("dot", L, L, place="bare")
R("vdot", V, V2, place="bare")
R("inner", V, V2, place="0 1 ! !")
R("inner", _W.T, V, place="! 0 1")
R("outer", L, L3.data, place="0 .")
R("linalg.outer", L, L3, place="0 !")
R("outer", S, [1.0, 2.0], place="! .")
R("tensordot", V, V2, axes=([1, 2], [1, 2]), place="0 !")
R("linalg.tensordot", V, _random.uniform(1, 9, (4, 5, 7)), axes=2, place="0 !")
R("linalg.multi_dot", [S, _W, _random.uniform(1, 9, (2, 3))], place="0 !")
R("linalg.multi_dot", [_W.T, _W, np.ones((2, 4)), S], place="! 1")
R("einsum", "zyx->xz", V, place="2 0")
R("einsum", "zyx,zyx->y", V, V2, place="1")
R("einsum", "...x,xk", V, _W, place="0 1 !")
R("einsum", "tii->ti", Q, place="0 1+2", at={1: 0, 2: 0})
R("einsum", "ij,jk->ik", Q1, Q1, place="0 !")
R("einsum", V, [0, 1, 2], [2, 0], place="2 0")
R("einsum", "zyx->", V, place="bare")
R("kron", S, np.ones((2, 3)), place="0*0.5 1*0.3333333333333333", at={0: -0.25, 1: -1 / 3})
R("kron", np.ones((2, 3)), S, place="0 1")
R("kron", S, S, place="! !")
R("cross", MAP, MAP)
R("cross", MAP, [1.0, 2.0, 3.0])
R("cross", MAP, MAP, axisc=0, place="2 0 1")
R("linalg.cross", MAP, [1.0, 2.0, 3.0])
R("linalg.inv linalg.cholesky", QS, place="0 ! !")
R("linalg.matrix_power", Q, 3, place="0 ! !")
R("linalg.pinv", V, place="0 ! !")
R("linalg.eigvals linalg.eigvalsh linalg.svdvals", QS, place="0 !")
R("linalg.eig linalg.eigh", QS, place=["0 !", "0 ! !"])
R("linalg.qr", V, place=["0 ! !", "0 ! !"])
R("linalg.qr", V, "r", place="0 ! !")
R("linalg.svd", V, place=["0 ! !", "0 !", "0 ! !"])
R("linalg.svd", V, full_matrices=False, place=["0 ! !", "0 !", "0 ! !"])
R("linalg.svd", V, compute_uv=False, place="0 !")
R("linalg.solve", Q, _random.uniform(1, 9, (4, 3)), place="0 ! !")
R("linalg.solve", Q.data, Q, place="0 ! 2")
R("linalg.solve", Q1.data, Q1, place="! 1")
R("linalg.lstsq", S, [1.0, 2.0, 3.0, 4.0], place=["!", "!", "bare", "!"])
R("linalg.lstsq", S.data, im(4, 3), place=["! 1", "!", "bare", "!"])
R("linalg.tensorinv", im(data=np.eye(6).reshape(2, 3, 6) + 0.1), place="! ! !")
R("linalg.tensorsolve", im(data=np.eye(6).reshape(2, 3, 6) + 0.1), np.ones((2, 3)), place="!")

# --- Fourier transforms -------------------------------------------------------------------

R("fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft", V, place="0 1 !")
R("fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft", V, 7, axis=0, place="! 1 2")
R("fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2", V, place="0 ! !")
R("fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2", V, s=(4, 6), axes=(2, 0), place="! 1 !")
R("fft.fftn fft.ifftn fft.rfftn fft.irfftn", V, place="! ! !")
R("fft.fftn fft.ifftn fft.rfftn fft.irfftn", V, axes=(1,), place="0 ! 2")
R("fft.fftshift fft.ifftshift", V)
R("fft.fftshift fft.ifftshift", V, axes=1)

# --- values, indices ----------------------------------------------------------------------

R("nonzero", VB, place=["nowhere"] * 3)
R("flatnonzero argwhere", VB, place="nowhere")
R("diag_indices_from", Q1, place=["nowhere"] * 2)
R("tril_indices_from triu_indices_from", S, place=["nowhere"] * 2)
R("histogram", V, place=["nowhere", "nowhere"])
R("histogram", V, [1.0, 4.0, 9.0], weights=V2, place=["nowhere", "nowhere"])
R("histogram_bin_edges", V, "sqrt", place="nowhere")
R("histogram_bin_edges", V, 3, (0.0, 9.0), place="nowhere")
R("histogram2d", L, L.data**2, 4, place=["nowhere"] * 3)
R("histogram2d", L, L.data, 4, [[0.0, 9.0], [0.0, 9.0]], place=["nowhere"] * 3)
R("histogramdd", (L, L.data), 3, [[0.0, 9.0], [0.0, 9.0]], place=["nowhere", ["nowhere"] * 2])
R("histogramdd", (L, L.data), 3, place=["nowhere", ["nowhere"] * 2])
R("bincount", LI, weights=L, place="nowhere")
R("unique", VI, place="nowhere")
R("unique", VI, True, True, True, place=["nowhere", "nowhere", "same", "nowhere"])
R("unique", VI, axis=1, place="0 ! 2")
R("unique_values", VI, place="nowhere")
R("unique_counts", VI, place=["nowhere", "nowhere"])
R("unique_inverse", VI, place=["nowhere", "same"])
R("unique_all", VI, place=["nowhere", "nowhere", "same", "nowhere"])
R("union1d setdiff1d setxor1d intersect1d", VI, [1, 2, 11], place="nowhere")
R("intersect1d", VI, LI, return_indices=True, place=["nowhere"] * 3)
R("cov corrcoef", S, place="nowhere")
R("cov", S, S, place="nowhere")
R("cov", L, place="bare")
R("corrcoef", S, rowvar=False, place="nowhere")
# NumPy asks the elements of these arguments, and never the image: the result is bare.
R("poly roots", L, place="asked elsewhere")
R("polyadd polysub polymul", L, [1.0, 2.0], place=["nowhere"][0])
R("polydiv", L, [1.0, 2.0], place=["nowhere"] * 2)
R("polyder polyint", L, place="nowhere")
R("polyfit", np.arange(6.0), L, 2, place="nowhere")
R("polyfit", np.arange(4.0), S, 1, place="! 1")
R("polyfit", L, LI, 1, cov=True, place=["nowhere", "nowhere"])
R("packbits", VB, axis=2, place="0 1 !")
R("packbits", VB, place="!")
R("unpackbits", im(3, 4, dtype="u1"), axis=1, count=9, place="0 !")
R("unpackbits", im(3, 4, dtype="u1"), place="!")
R("ix_", LI, LB, place=["! .", ". !"])
R("ix_", LI, L3, place=["! .", "skip"])
R("vander", L, 3, place="0 .")
R("meshgrid", im(4), np.arange(3.0), place=[". 0", "free"])
R("meshgrid", im(4), im(3, dims="y"), indexing="ij", sparse=True, place=["0 .", "skip"])
R("linspace", V, 10.0, 4, place=". 0 1 2")
R("linspace", V, V2, 4, retstep=True, axis=-1, place=["0 1 2 .", "same"])
R("geomspace logspace", S, 2.0, 3, place=". 0 1")
R("polynomial.polynomial.polyval2d", V, V2, np.ones((2, 3)))
R("polynomial.polynomial.polyval2d", V, V2, np.ones((2, 3, 2)), place=". 0 1 2")
R("polynomial.polynomial.polygrid2d", L, [1.0, 2.0], np.ones((2, 3)), place="0 .")
R("polynomial.polynomial.polyvalnd", [V, V2], np.ones((2, 3)))

# --- in place, questions, text, records ---------------------------------------------------

R("copyto", V, V2, place="bare")
R("copyto", V, 3.0, where=VB, place="bare")
R("copyto", V.data.copy(), V2, place="bare")
R("putmask", V, VB, [1.0, 2.0], place="bare")
R("putmask", V, VB, 1.0, place="bare")
R("place", V, VB, [1.0, 2.0], place="bare")
R("put", V, [0, 5], [1.0, 2.0], place="bare")
R("put_along_axis", V, VI.data[:, :, :2] % 5, 7.0, 2, place="bare")
R("fill_diagonal", Q1, 3.0, place="bare")
R("shape ndim size iscomplexobj isrealobj common_type result_type", V, place="bare")
R("min_scalar_type array_str array_repr array2string", V, place="bare")
R("can_cast", V.data.dtype, "f4", place="bare")
R("may_share_memory shares_memory array_equal array_equiv allclose", V, V2, place="bare")
R("array_equal", V, S, place="bare")
R("einsum_path", "zyx,xk", V, _W, place="bare")
R("char.equal char.not_equal char.greater char.greater_equal char.less char.less_equal", TEXT, "Cd")
R("strings.capitalize strings.lower strings.swapcase strings.title strings.upper", TEXT)
R("strings.center strings.ljust strings.rjust", TEXT, 9, "*")
R("strings.zfill", TEXT, 7)
R("strings.encode", TEXT, "utf8")
R("strings.decode", like(TEXT, TEXT.data.astype("S")))
R("strings.expandtabs", TEXT)
R("strings.replace", TEXT, "a", "bb")
R("strings.translate", TEXT, {97: "z"})
R("char.join", "-", TEXT)
R("char.split char.rsplit", TEXT, "-")
R("char.splitlines", TEXT)
R("strings.mod", like(TEXT, np.array([["a%d", "b%d"]] * 2)), 3)
R("strings.multiply", TEXT, 2)
R("strings.partition strings.rpartition", TEXT, "-", place=["same"] * 3)
R("lib.recfunctions.rename_fields", PAIRS, {"p": "r"})
R("lib.recfunctions.require_fields", PAIRS, [("q", "f8")])
R("lib.recfunctions.repack_fields", PAIRS)
R("lib.recfunctions.apply_along_fields", np.mean, PAIRS)
R("lib.recfunctions.structured_to_unstructured", PAIRS, place="0 .")
R(
    "lib.recfunctions.unstructured_to_structured",
    im(data=np.arange(6.0).reshape(3, 2), dims="xc"),
    [("p", "i4"), ("q", "f8")],
    place="0",
)
R("lib.recfunctions.assign_fields_by_name", PAIRS, PAIRS, place="bare")
R("lib.recfunctions.recursive_fill_fields", PAIRS, like(PAIRS, np.zeros(3, PAIRS.data.dtype)))

# --- new arrays of the kind of an image's data --------------------------------------------

R("zeros ones empty", (2, 3), like=V, place="free")
R("full", (2, 3), 7, like=V, place="free")
R("eye identity tri", 3, like=V, place="free")
R("arange", 5, like=V, place="free")
R("array asarray asanyarray ascontiguousarray", [[1, 2]], like=V, place="free")
R("asfortranarray require", [[1, 2]], like=V, place="free")
R("asarray", V, like=V2)
R("array", V, ndmin=4, like=V2, place=". 0 1 2")
R("frombuffer", b"abcd", "u1", like=V, place="free")
R("fromiter", (1, 2, 3), "i4", like=V, place="free")
R("fromstring", "1 2 3", sep=" ", like=V, place="free")
R("fromfunction", lambda i, j: i + j, (2, 3), like=V, place="free")
R("empty_like", V)


class Fresh(NamedTuple):
    """An argument that is made anew for each call, such as an open file."""

    make: Callable[[], Any]


R("loadtxt genfromtxt", Fresh(lambda: io.StringIO("1 2\n3 4")), like=V, place="free")
R("fromfile", __file__, "u1", 4, like=V, place="free")
