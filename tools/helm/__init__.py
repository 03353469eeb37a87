"""The Helm chart: its files, what `helm` makes of them, and what Kubernetes and a gateway make of that.

`tests/tools/test_helm.py` needs no `helm` and belongs to the suite. `make chart` runs `check_helm_*.py`, which need it.
"""
