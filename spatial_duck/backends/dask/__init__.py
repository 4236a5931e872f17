"""Dask arrays: NumPy's functions, lazily."""
