"""Quotas and holds in Redis or Valkey: `quota_store.py` runs `scripts/quotas/*.lua`, in which every decision is taken."""
