"""The gateway's container image, and compose.yaml: built and run where a Docker engine answers (`make image-test`).

`tests/tools/test_container.py` needs no engine and belongs to the suite.
"""
