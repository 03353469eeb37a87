"""Rounds that kill parts under load and compare calls with the ledger.

`python -m tools.chaos` prints the figures of docs/reliability.md.
"""
