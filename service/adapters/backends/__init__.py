"""Backends: vendors behind one HTTP client, and the built-in sandbox."""
