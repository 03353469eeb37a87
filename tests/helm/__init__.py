"""The Helm chart: its files, what `helm` makes of them, and what Kubernetes and a gateway make of that.

`test_*` need no `helm` and belong to the suite; `check_*` do, and are run by `make chart`.
"""
