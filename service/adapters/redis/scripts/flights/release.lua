-- The flight is as if it had never been.
-- KEYS: as in the prelude. ARGV: owner. Reply: 1, or 0 with nothing done: it does not lead.

if not led() then
  return 0
end
return redis.call('DEL', KEYS[1])
