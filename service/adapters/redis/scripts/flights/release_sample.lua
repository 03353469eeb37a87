-- Offer a number to the next request of a series. A series with only one number is deleted instead.
-- KEYS: as in assign_sample.lua. ARGV: the number. Reply: 1, or 0 if the series is not known.

local OFFERED = 60000000
local size = tonumber(redis.call('HGET', KEYS[1], 'size'))
if not size then
  return 0
end
if size == 1 then
  return redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'offer:' .. ARGV[1], whole(now + OFFERED))
return 1
