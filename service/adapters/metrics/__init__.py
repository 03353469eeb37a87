"""Metrics: `declared` lists them, `observe` counts what happens, `families` hold the numbers, `expose` tells them."""
