"""Adapters: all I/O, one module or folder for each outside thing. No adapter knows the API."""
