"""Construction of a gateway from its settings, bottom up: one module for each cluster of parts.

Rule: `app.py` calls each module once. The modules connect to nothing.

Fails with: `SettingsError`, if a setting cannot be used.
"""
