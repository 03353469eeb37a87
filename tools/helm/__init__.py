"""The Helm chart: its files, the objects that `helm` renders, and their use by Kubernetes and a gateway.

`tests/tools/test_helm.py` needs no `helm` and belongs to the suite. `make chart` runs `check_helm_*.py`, which need it.
"""
