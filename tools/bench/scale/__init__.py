"""What grows with calls in flight, teams, the ledger and gateways, and what it comes to for a site of a size."""
