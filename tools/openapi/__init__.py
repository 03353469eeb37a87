"""The API's description, held against a running gateway."""
