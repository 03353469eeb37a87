-- Release slots: their calls are over, and so are their probes.
-- KEYS: as in the prelude. ARGV: name and number of calls of each slot.

local probe = redis.call('GET', KEYS[3])
for place = 1, #ARGV, 2 do
  for number = 1, tonumber(ARGV[place + 1]) do
    redis.call('ZREM', KEYS[4], ARGV[place] .. ':' .. number)
  end
  if probe == ARGV[place] then
    redis.call('DEL', KEYS[3])
  end
end
return 1
