"""Everything that does I/O: one module or folder per outside thing. Adapters do not know the API, nor each other's secrets."""
