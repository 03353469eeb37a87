"""The image gateway: one OpenAI-compatible image API in front of several backends."""

__version__ = "0.1.0"
