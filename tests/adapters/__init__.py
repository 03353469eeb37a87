"""Adapters against the real things."""
