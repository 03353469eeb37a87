"""Commands for developing the gateway: measure, kill, fuzz, write files. `python -m tools.bench` runs one.

Rule: a tool may start what `tests.support`, `tests.simulators` and `tests.fakes` have. `service` imports neither.
"""
