"""Traces for OpenTelemetry: `names` says what spans are called and say, `otlp` makes and hands them in."""
