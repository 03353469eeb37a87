-- Claim the probe of a vendor for one slot.
-- KEYS: as in the prelude. ARGV: name of the slot, version of the breaker that its replica knows.
-- Reply: 1, or 0 with nothing done: another slot probes, or the breaker has changed.

local version = redis.call('HGET', KEYS[1], 'version')
if version and version ~= ARGV[2] then
  return 0
end
return redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', PROBE_MS) and 1 or 0
