"""The steps that made the tables what they are, run by Alembic.

Rule: a step that was released is never edited. The next one is a file in `versions`, numbered after the last, and
`HEAD` in `migrate.py` is set to it. It says what changes rather than asking `schema.py`, which goes on changing. Steps
lead forward only: a ledger is not unmade.
"""
