"""The database, SQLite or PostgreSQL: ledger, issued keys, audit trail, replicas, leases and the file index."""
