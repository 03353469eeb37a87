"""Fuzz targets, one for each parser. The suite runs them on a stored corpus, `make fuzz` for any time."""
