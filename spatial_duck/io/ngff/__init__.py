"""OME-Zarr (NGFF): read, and written in one pass with its pyramid."""
