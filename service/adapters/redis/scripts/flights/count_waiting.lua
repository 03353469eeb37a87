-- Count the callers that wait for the flight.
-- KEYS: as in the prelude. ARGV: owner. Reply: the number; 0 if the owner does not lead.

if not led() then
  return 0
end
return tonumber(redis.call('HGET', KEYS[1], 'waiting') or '0')
