-- Delete a flight that generated nothing.
-- KEYS: as in the prelude. ARGV: owner. Reply: 1, or 0 with nothing done: the owner does not lead.

if not led() then
  return 0
end
return redis.call('DEL', KEYS[1])
