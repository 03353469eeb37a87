"""Quotas and holds in Redis or Valkey: `quota_store.py` runs `scripts/quotas/*.lua`, where each decision is taken."""
