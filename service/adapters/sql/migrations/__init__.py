"""Migrations of the tables, run by Alembic.

Rule: a released step is never edited. A new step is a file in `versions`, numbered after the last one, and `HEAD` in
`migrate.py` is its number. A step states its changes and does not read `schema.py`, because `schema.py` changes later.
A step has no way back: a ledger is not unmade.
"""
