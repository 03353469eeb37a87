"""Cost by calls in flight, teams, ledger entries and gateways, and the resources of a site."""
