"""Metrics: `declared` lists them, `observer` counts events, `prometheus_text` renders and `expose` serves numbers."""
