"""What other arrays with a meaning answer, tried on images.

Each suite is a list of outcomes: a function or a test of a peer, and whether an image passes, is
refused by design (with the reason), or fails. ``python -m benchmarks.peer_suites`` shows them.

The functions are those that the installed peers say they handle, and the calls are our own recipes:
the data must be the backend's to the bit, and lie where the recipe says.
"""

from __future__ import annotations

import inspect
import pickle
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import SpatialArray, rules
from spatial_duck.testing import assert_lazy
from tests.rules import coverage, test_functions, test_ufuncs
from tests.rules.calls import OVERRIDABLE, find
from tests.rules.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SUITES", "Outcome"]


class Outcome(NamedTuple):
    """What came of one function or test of a peer.

    Attributes
    ----------
    name : str
        Its name.
    state : {"passed", "by design", "failed"}
        Whether it is right, refused by design, or neither.
    reason : str
        Why, where it is not right.
    """

    name: str
    state: str
    reason: str = ""


# --- functions ------------------------------------------------------------------------------


def _of_function(name: str, function: Any, backend: str = "numpy") -> Outcome:
    """Call a function by all its recipes."""
    if function not in OVERRIDABLE:
        if isinstance(function, np.ufunc):
            return _of_ufunc(function, backend)
        return Outcome(name, "by design", "NumPy asks no array")
    rule = rules.find(function)  # fills the tables
    if rule is None and function in rules.REFUSED:
        return Outcome(name, "by design", rules.REFUSED[function])
    recipes = [r for r in RECIPES if find(r.name) is function]
    if not recipes:
        return Outcome(name, "failed", "no recipe calls it")
    states = set()
    for recipe in recipes:
        try:
            if backend == "numpy":
                test_functions.test_data_are_those_of_the_bare_call(recipe)
                test_functions.test_results_lie_where_the_recipe_says(recipe)
                states.add("right")
            else:
                states.add(coverage.check(recipe, backend))
        except coverage.NoSuchType:
            states.add("refused")
        except Exception as error:  # of any kind: it is what the table tells
            return Outcome(name, "failed", f"{recipe.label}: {error!r}")
    if "right" in states:
        return Outcome(name, "passed")
    return Outcome(name, "by design", f"{backend}'s own arrays refuse it")


def _name_of(function: Any) -> str:
    module = getattr(function, "__module__", "numpy") or "numpy"
    return f"{module}.{function.__name__}".removeprefix("numpy.")


def _each(functions: Iterable[Any]) -> list[Outcome]:
    return [_of_function(_name_of(f), f) for f in sorted(functions, key=_name_of)]


def _astropy_handles() -> list[Outcome]:
    from astropy.units.quantity_helper import function_helpers as tables

    return _each(
        {*tables.SUBCLASS_SAFE_FUNCTIONS, *tables.FUNCTION_HELPERS, *tables.DISPATCHED_FUNCTIONS}
    )


def _astropy_refuses() -> list[Outcome]:
    from astropy.units.quantity_helper import function_helpers as tables

    return _each({*tables.UNSUPPORTED_FUNCTIONS, *tables.IGNORED_FUNCTIONS})


def _pint_handles() -> list[Outcome]:
    from pint.facets.numpy.numpy_func import HANDLED_FUNCTIONS, HANDLED_UFUNCS

    names = {n: find(n) for n in (*HANDLED_FUNCTIONS, *HANDLED_UFUNCS)}
    return [_of_function(n, f) for n, f in sorted(names.items()) if f is not None]


#: The functions of Dask's tests of the protocol, those of its fft and linalg among them.
_DASK = (
    "concatenate cov dot einsum fft.fft fft.fft2 linalg.qr linalg.svd linalg.inv tensordot "
    "stack unique min max sum mean var std median transpose ravel round where vstack hstack "
    "dstack isclose allclose histogram bincount digitize searchsorted percentile quantile roll "
    "flip rot90 pad repeat tile squeeze broadcast_to block take compress diff ediff1d gradient "
    "outer vdot corrcoef apply_along_axis apply_over_axes ptp argwhere count_nonzero "
    "flatnonzero nonzero indices tril triu isin insert delete append average diagonal"
).split()


def _dask_functions() -> list[Outcome]:
    return [_of_function(n, find(n), "dask") for n in _DASK]


# --- ufuncs ---------------------------------------------------------------------------------


def _of_ufunc(ufunc: np.ufunc, backend: str) -> Outcome:
    """Call a ufunc, and its reduction, on an image of a backend."""
    name = ufunc.__name__
    try:
        inputs = test_ufuncs.inputs_of(ufunc)
    except AssertionError:
        return Outcome(name, "by design", "NumPy itself takes none of the sample arrays")
    make = coverage.BACKENDS[backend]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = ufunc(*inputs)
            data = make(inputs[0])
            image = SpatialArray(data, spacing=(2.0, 0.5), origin=(3, 7))
            with assert_lazy():
                found = ufunc(image, *inputs[1:])
            for w, f in zip(*[v if isinstance(v, tuple) else (v,) for v in (wanted, found)],
                            strict=True):  # fmt: skip
                _compare(w, f, image if ufunc.signature is None else None)
            if ufunc.nin == 2 and ufunc.nout == 1 and ufunc.signature is None:
                return _reduced(ufunc, image, inputs[0])
    except (TypeError, NotImplementedError) as error:
        if backend == "numpy":
            return Outcome(name, "failed", repr(error))
        return Outcome(name, "by design", str(error))
    except Exception as error:  # of any kind: it is what the table tells
        return Outcome(name, "failed", repr(error))
    return Outcome(name, "passed")


def _compare(wanted: Any, found: Any, like: SpatialArray | None) -> None:
    """Assert that one result of a ufunc has NumPy's values, on the image's grid."""
    assert isinstance(found, SpatialArray) or not np.ndim(wanted), "an array came back bare"
    if like is not None:
        assert found.geometry == like.geometry
    value = found.compute().data if isinstance(found, SpatialArray) else found
    value = np.asarray(value)
    assert value.dtype == np.asarray(wanted).dtype
    if like is not None:
        np.testing.assert_array_equal(value, wanted)
    else:  # sums of products, in another order where blocks are added up
        np.testing.assert_allclose(value, wanted, rtol=1e-12)


def _reduced(ufunc: np.ufunc, image: SpatialArray, values: Any) -> Outcome:
    name = ufunc.__name__
    try:
        wanted = ufunc.reduce(values, 0)
    except (TypeError, ValueError):
        return Outcome(name, "passed")  # NumPy reduces by none such
    try:
        found = ufunc.reduce(image, 0)
    except TypeError as error:
        return Outcome(name, "passed", f"its reduce is refused: {error}")
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-12)
    assert found.geometry == image.geometry.reduce(0)
    return Outcome(name, "passed")


def _dask_ufuncs() -> list[Outcome]:
    return [_of_ufunc(u, "dask") for u in test_ufuncs.UFUNCS]


# --- NumPy's own tests of overrides ---------------------------------------------------------


def _numpy_overrides() -> list[Outcome]:
    """Adapt what NumPy's tests of overrides do with arrays of others to images."""
    from numpy._core.tests import test_overrides as theirs

    adapted: dict[str, Callable[[], None]] = {
        "TestGetImplementingArgs.test_ndarray_and_duck_array": _who_is_asked,
        "TestGetImplementingArgs.test_ndarray_subclass_and_duck_array": _who_is_asked,
        "TestGetImplementingArgs.test_many_duck_arrays": _many_are_asked,
        "TestArrayFunctionDispatch.test_not_implemented": _not_implemented,
        "TestArrayFunctionDispatch.test_where_dispatch": _where,
        "TestArrayFunctionDispatch.test_pickle": _pickles,
        "TestNumPyFunctions.test_override_sum": _sum,
        "TestNumPyFunctions.test_sum_forwarding_implementation": _sum,
        "TestNDArrayMethods.test_repr": lambda: _holds("3" in repr(_image())),
        "TestArrayLike.test_array_like_not_implemented": lambda: _like("array", ([1],), {}),
        "TestArrayLike.test_like_as_none": lambda: _holds(
            type(np.ones(1, like=None)) is np.ndarray
        ),
    }
    for function, args, kwargs in theirs.TestArrayLike._array_tests:
        if function in _SPOILT:
            continue
        adapted[f"TestArrayLike.test_array_like[{function}]"] = (
            lambda f=function, a=args, k=kwargs: _like(f, a, k)
        )
    found = []
    for cls_name, cls in inspect.getmembers(theirs, inspect.isclass):
        for test in [n for n in vars(cls) if n.startswith("test_")]:
            name = f"{cls_name}.{test}"
            own = [n for n in adapted if n.partition("[")[0] == name]
            for n in own:
                try:
                    adapted[n]()
                    found.append(Outcome(n, "passed"))
                except Exception as error:  # of any kind: it is what the table tells
                    found.append(Outcome(n, "failed", repr(error)))
            if not own and cls.__module__ == theirs.__name__:
                found.append(
                    Outcome(name, "by design", "about NumPy's decorators, with no array of ours")
                )
    found += [
        Outcome(f"TestArrayLike.test_array_like[{n}]", "by design", why)
        for n, why in _SPOILT.items()
    ]
    return found


#: What cannot be tried: with a type and like=, of whatever class, these give a reference to the
#: type away that they do not own (NumPy 2.5), which in the end stops Python.
_SPOILT = dict.fromkeys(
    ("frombuffer", "fromiter", "fromstring"),
    "NumPy 2.5's own dtype=int beside like=x gives a reference too many away, for any class of x",
)


def _image() -> SpatialArray:
    return SpatialArray(np.arange(6.0).reshape(2, 3), spacing=(2.0, 0.5), origin=(1, 2))


def _holds(statement: bool) -> None:
    assert statement


class _Labels(SpatialArray):
    """A subclass, which is asked before its parent."""


def _who_is_asked() -> None:
    from numpy._core._multiarray_umath import _get_implementing_args as asked

    array, image = np.array(1), _image()
    masked = np.ma.masked_array([1.0])
    _holds(asked([array, image]) == [array, image])
    _holds(asked([image, array]) == [image, array])
    _holds([type(a) for a in asked([array, image, masked])][-1] is np.ma.MaskedArray
           or type(asked([array, image, masked])[0]) is np.ma.MaskedArray)  # fmt: skip


def _many_are_asked() -> None:
    from numpy._core._multiarray_umath import _get_implementing_args as asked

    image, labels = _image(), _Labels(np.ones((2, 3)))
    _holds(asked([image, labels]) == [labels, image])
    _holds(asked([image, image]) == [image])


def _not_implemented() -> None:
    class Stranger:
        def __array_function__(self, *_: Any) -> Any:
            return NotImplemented

    try:
        np.concatenate([_image(), Stranger()])
    except TypeError as error:
        _holds("no implementation found" in str(error))
        return
    raise AssertionError("an array that nobody knows was taken")


def _where() -> None:
    out = np.where(_image() > 2, _image(), 0.0)
    _holds(isinstance(out, SpatialArray) and out.geometry == _image().geometry)


def _pickles() -> None:
    again = pickle.loads(pickle.dumps(_image()))
    _holds(again.geometry == _image().geometry)
    np.testing.assert_array_equal(again, _image())


def _sum() -> None:
    found = np.sum(_image(), axis=0)
    _holds(found.geometry == _image().geometry.reduce(0))
    np.testing.assert_array_equal(found, [3.0, 5, 7])


def _like(name: str, args: Any, kwargs: Any) -> None:
    function = getattr(np, name)
    args, again = ([a() if callable(a) else a for a in args] for _ in range(2))
    made = function(*args, **kwargs, like=_image())
    wanted = function(*again, **kwargs)
    _holds(isinstance(made, SpatialArray) or not wanted.ndim)
    _holds(made.dtype == wanted.dtype and made.shape == wanted.shape)
    if name != "empty":
        np.testing.assert_array_equal(np.asarray(made), wanted)
    _holds(not wanted.ndim or made.geometry.sampled_axes == ())


#: By name, what is tried, what it needs beside NumPy, and how.
SUITES: dict[str, tuple[str, Callable[[], list[Outcome]]]] = {
    "astropy: the functions that Quantity handles": ("astropy", _astropy_handles),
    "astropy: the functions that Quantity refuses or leaves out": ("astropy", _astropy_refuses),
    "pint: the functions and ufuncs that Quantity handles": ("pint", _pint_handles),
    "dask: functions of its tests of `__array_function__`, on Dask": ("dask", _dask_functions),
    "dask: every ufunc and its reduction, on Dask": ("dask", _dask_ufuncs),
    "numpy: `test_overrides`, with images in place of its arrays": ("numpy", _numpy_overrides),
}
