"""The ledger of record, issued keys and the audit trail, in SQLite or PostgreSQL."""
