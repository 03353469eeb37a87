"""A real Prometheus on loopback that scrapes real gateways under load."""
