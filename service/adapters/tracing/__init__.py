"""Traces for OpenTelemetry: `span_attributes` has the names and attributes of spans, `otlp` makes and exports spans."""
