"""Operators' use cases: keys, cache, metrics snapshots, and reloads of settings and secrets."""
