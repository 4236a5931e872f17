"""xarray's own cases of wrapped arrays, run on images, as the xarray that is installed has them.

xarray's module `tests.test_duck_array_wrapping` calls what xarray offers on an array of another
library, and asks whether the result still holds one.
"""

from __future__ import annotations

import inspect
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray

pytest.importorskip("xarray", reason="needs xarray")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    theirs = pytest.importorskip(
        "xarray.tests.test_duck_array_wrapping", reason="this xarray has no such tests"
    )

_OWN = "xarray calls Dask's own function with the Dask array inside: right data, no place"
_META = "xarray looks into Dask arrays at what an image has not"
#: Why a case does not hold for images: by its name, its option and what they hold.
KNOWN = {
    "quantile-True-numpy": "a quantile over all axes is a number, as NumPy's",
    "quantile-False-numpy": "a quantile over all axes is a number, as NumPy's",
    "quantile-True-dask": "a quantile over all axes is what Dask returns",
    "quantile-False-dask": "a quantile over all axes is what Dask returns",
    **dict.fromkeys(
        ("apply_ufunc-dask", "full_like-dask", "cross-dask", "idxmax-False-dask",
         "idxmin-False-dask"), _OWN
    ),
    **dict.fromkeys(
        ("map_blocks-dask", "rolling_construct-dask",
         "rolling_reduce-True-dask", "rolling_reduce-False-dask", "cumulative_construct-dask",
         "cumulative_reduce-dask", "weighted-dask"), _META
    ),
}  # fmt: skip
if find_spec("opt_einsum"):
    KNOWN |= dict.fromkeys(
        ("dot-numpy", "dot-dask", "weighted-numpy"), "opt_einsum gives a number over all axes"
    )


def held(kind: str, data: Any) -> SpatialArray:
    data = np.asarray(data)
    if kind == "dask":
        da = pytest.importorskip("dask.array", reason="needs dask")
        data = da.from_array(data, chunks=data.shape)
    return SpatialArray(data, dims=(None,) * data.ndim)


def cases() -> list[Any]:
    found = []
    for owner in (theirs.TestTopLevelMethods, theirs.TestDataArrayMethods):
        for name, method in vars(owner).items():
            if not name.startswith("test_"):
                continue
            marks = [m.name for m in getattr(method, "pytestmark", [])]
            if "xfail" in marks:  # for every library
                continue
            options: list[dict[str, Any]] = [{}]
            if "skipna" in inspect.signature(method).parameters:
                options = [{"skipna": True}, {"skipna": False}]
            for o in options:
                label = f"{owner.__name__}.{name}" + "".join([f"-{v}" for v in o.values()])
                found.append(pytest.param(owner, name, o, id=label))
    return found


@pytest.mark.filterwarnings("ignore")  # xarray's and pandas' own
@pytest.mark.parametrize("kind", ["numpy", "dask"])
@pytest.mark.parametrize("owner, name, options", cases())
def test_xarray_keeps_images(
    owner: Any, name: str, options: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    words = [name.removeprefix("test_"), *map(str, options.values()), kind]
    reason = KNOWN.get("-".join(words))
    if reason:
        request.node.add_marker(pytest.mark.xfail(strict=True, reason=reason))
    case = owner()
    case.namespace, case.xp, case.Array = "images", np, SpatialArray
    case.constructor = lambda data: held(kind, data)
    case.x = case.x1 = case.get_test_dataarray()
    case.x2 = case.get_test_dataarray().assign_coords(x=np.arange(2, 7))
    getattr(case, name)(**options)
