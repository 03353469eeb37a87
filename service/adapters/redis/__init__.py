"""Redis or Valkey: the quota store, flights, the result cache and shared health of backends."""
