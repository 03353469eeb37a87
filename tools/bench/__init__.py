"""Measurements of the gateway: CPU per request beside a floor, and peak memory. `make bench` runs them."""
