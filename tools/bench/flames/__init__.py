"""Flame graphs of the gateway's CPU, from a sampling profiler. `make flames` runs them."""
