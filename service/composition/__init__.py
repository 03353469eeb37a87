"""Wiring, bottom up: one file for each cluster, each called once by `app.py`."""
