"""Measures the gateway: CPU per request next to a floor, and peak memory. `make bench` runs it."""
