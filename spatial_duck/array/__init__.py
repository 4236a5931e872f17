"""The array that knows where it is: `SpatialArray`.

`_array` holds the class. `_dispatch` brings NumPy's functions and ufuncs to the data and wraps what
comes back, `_holder` holds data and geometry and indexes both, `_methods` has ndarray's operators
and methods, `_attributes` hands on what the geometry says, `_collection` is Dask's protocol,
`_namespace` the array API's. `_asarray` takes images of other libraries, and `_display` shows
images as text and HTML.
"""

from __future__ import annotations

from spatial_duck.array._array import SpatialArray
from spatial_duck.array._asarray import asarray

__all__ = ["SpatialArray", "asarray"]
