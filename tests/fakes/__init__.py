"""The ports in memory: small implementations that hold their promises, not mocks."""
