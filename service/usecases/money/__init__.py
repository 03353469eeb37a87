"""Holds, settlement, limits, the ledger's lease and its reports."""
