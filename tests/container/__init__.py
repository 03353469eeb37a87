"""The image of the gateway, and compose.yaml: built and run where a Docker engine answers (`make image-test`).

What needs no engine is in `test_files.py`, which the suite runs.
"""
