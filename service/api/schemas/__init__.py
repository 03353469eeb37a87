"""Structs of request bodies and replies of the HTTP API."""
