"""Dask arrays: NumPy's functions, lazily."""

from __future__ import annotations

from spatial_duck._optional import require

require("dask.array", "Work on chunks")
