"""Zarr arrays on disk, as lazy views."""
