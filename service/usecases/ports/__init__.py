"""Protocols and value types of everything outside. `ports/<thing>.py` is implemented by `adapters/…/<thing>.py`."""
