"""The suite. `make test` runs it; `tests/conftest.py` says what tests may ask for."""
