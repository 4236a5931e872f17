"""TIFF, OME-TIFF and ImageJ's TIFF."""
