"""The array that knows where it is: `SpatialArray`.

`_array` holds the class: one state (`_state`: data, geometry, attrs) and three mixins, `_methods`
(ndarray's operators and methods, with `_operators`), `_attributes` (what the geometry says, and
what is done by name: `_selection`, `_ordered`, `_forward`) and `_collection` (Dask's protocol).
`_coordinates` holds what axes carry, `_carry` takes it where `_index_moves` says, and `_vectors`
knows what vectors are along. Free functions do the work: `_dispatch` brings NumPy's functions and
ufuncs to the data and wraps what comes back, `_indexing` reads and writes by keys, and `_fast`
has the short ways of what is done most. `_namespace` is the array API's. `_asarray` takes images of
other libraries. What an image shows of itself is in `spatial_duck._display`.
"""

from __future__ import annotations

from spatial_duck.array._array import SpatialArray, on_grid
from spatial_duck.array._asarray import as_image, asarray, is_image, library_of

__all__ = ["SpatialArray", "as_image", "asarray", "is_image", "library_of", "on_grid"]
