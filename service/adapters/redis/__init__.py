"""Quotas and holds in Redis or Valkey: `ledger.py` speaks for `scripts/*.lua`, in which every decision is taken."""
