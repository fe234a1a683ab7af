"""Rasters and vectors in, finished files out: the only rooms that touch GDAL."""
