-- Take calls and images of an account, all or none.
-- KEYS: as in the prelude. ARGV: name of the slot, calls, images, lease in microseconds, then the caps, '' for none:
-- calls under way, requests a minute, images a minute.
-- Reply: nothing if all were taken, else the cap and the microseconds until there may be room (-1: never).

local calls, lease = tonumber(ARGV[2]), tonumber(ARGV[4])
local concurrent = tonumber(ARGV[5])

-- The wait for room under the cap of calls under way (-1: never), or nothing if there is room.
local function wait_for_calls()
  if calls > concurrent then
    return -1
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', whole(now))
  if redis.call('ZCARD', KEYS[4]) + calls > concurrent then
    return 0
  end
end

local wait = concurrent and wait_for_calls()
if wait then
  return { 'concurrent', wait }
end

local rates = {
  { field = 'requests', amount = calls, max = tonumber(ARGV[6]) },
  { field = 'images', amount = tonumber(ARGV[3]), max = tonumber(ARGV[7]) },
}
local full
for _, rate in ipairs(rates) do
  if rate.max then
    rate.minute = read_minute(redis.call('HGET', KEYS[5], rate.field))
    wait = wait_for_room(rate.minute, rate.amount, rate.max)
    if wait and (not full or wait == -1 or (full[2] ~= -1 and wait > full[2])) then
      full = { rate.field .. '_per_minute', wait }
    end
  end
end
if full then
  return full
end

for _, rate in ipairs(rates) do
  if rate.max and rate.amount > 0 then
    add_to_minute(rate.minute, rate.amount)
    redis.call('HSET', KEYS[5], rate.field, pack_minute(rate.minute))
    redis.call('PEXPIRE', KEYS[5], MINUTE / 1000)
  end
end
if concurrent then
  for number = 1, calls do
    redis.call('ZADD', KEYS[4], whole(now + lease), ARGV[1] .. ':' .. number)
  end
  local last = redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')
  expire(KEYS[4], tonumber(last[2]), 0)
end
return {}
