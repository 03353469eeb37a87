"""Tools that compare the API's description with a running gateway."""
