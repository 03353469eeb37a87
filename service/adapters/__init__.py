"""Everything that does I/O: one module or folder per outside thing, none of which knows the API."""
