"""Admission to backends: circuit breakers, caps and rate limits of vendors' accounts."""
