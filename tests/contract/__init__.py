"""One suite per port, run on the fake and on the real thing: what the fakes promise is what users get."""
