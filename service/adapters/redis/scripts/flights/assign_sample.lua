-- Assign a number to the next request of a series.
-- KEYS[1] igw:{team}:series-v1:<name>  hash: last (number assigned last), dealt (its time, microseconds since 1970), size
-- (count of numbers assigned so far), first (number assigned last, if for the first time), retry (number for the next retry),
-- offer:<number> (end of the time in which a released number is assigned first).
-- KEYS[2]: a remembered failure (see remember_failure.lua). KEYS[3], …: the flights of numbers 0, …, in their order.
-- ARGV: '1' if the failure counts, '1' if the request is a retry, '1' if the replica has other requests of the series under
-- way, milliseconds until the series is forgotten. Reply: the number, and the failure or ''.

local failure = ARGV[1] == '1' and redis.call('HGET', KEYS[2], 'failure')
if failure then
  return { 0, failure }
end

local PAUSE = 5000000 -- a request after a longer pause begins at number 0 again
local known = redis.call('HMGET', KEYS[1], 'last', 'dealt', 'size', 'first', 'retry')
local last, dealt, size = tonumber(known[1]), tonumber(known[2] or '0'), tonumber(known[3] or '0')
local first, max = tonumber(known[4]), #KEYS - 2

local busy, lost, has_result, finished = ARGV[3] == '1', nil, {}, {}
for number = 0, max - 1 do
  local values = redis.call('HMGET', KEYS[number + 3], 'state', 'lease', 'landed', 'result')
  if values[1] == 'landed' then
    finished[number], has_result[number] = tonumber(values[3] or values[2]), values[4] and values[4] ~= ''
  elseif values[1] and now < tonumber(values[2]) then
    busy = true
  elseif values[1] == 'sent' and number < size and not lost then
    lost = number
  end
end
local goes_on = now - dealt < PAUSE
if first and goes_on and not (finished[first] and finished[first] >= dealt) then
  busy = true  -- the number is new, and its flight may not have begun yet
end

-- Assign a number: `new` if its generation may begin now.
local function assign(number, new)
  redis.call('HSET', KEYS[1], 'last', math.max(last or 0, number), 'dealt', whole(now),
    'size', math.max(size, number + 1), 'first', new and number or '')
  if new or size == 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
  end
  return { number, '' }
end

for number = 0, size - 1 do
  local until_then = redis.call('HGET', KEYS[1], 'offer:' .. number)
  if until_then then
    redis.call('HDEL', KEYS[1], 'offer:' .. number)
    if now < tonumber(until_then) then
      return assign(number, true)
    end
  end
end
if lost then
  return { lost, '' }
end
if ARGV[2] == '1' and size > 0 then
  local number = tonumber(known[5] or '0') % size
  redis.call('HSET', KEYS[1], 'retry', number + 1)
  return { number, '' }
end

local number = last and last + 1 or 0
if number >= max or (not busy and (number >= size or not goes_on)) then
  number = 0
  last = 0
end
return assign(number, number >= size and not has_result[number])
