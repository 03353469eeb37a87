-- The number of the next request of a series.
-- KEYS[1] igw:{team}:series-v1:<name>  hash: last, the number that was dealt last; dealt, when (microseconds since 1970);
-- size, how many numbers were dealt so far; first, the number that was then dealt for the first time, if it was; retry, the
-- number for who comes again; offer:<number>, until when it is on offer.
-- KEYS[2]: a remembered failure (see remember_failure.lua). KEYS[3], …: the flights of numbers 0, …, in their order.
-- ARGV: '1' if the failure counts, '1' if the request is made again, '1' if others of the series are under way at the
-- replica, milliseconds to remember the series for. Reply: the number, and the failure or ''.

local failure = ARGV[1] == '1' and redis.call('HGET', KEYS[2], 'failure')
if failure then
  return { 0, failure }
end

local GO_ON = 5000000
local known = redis.call('HMGET', KEYS[1], 'last', 'dealt', 'size', 'first', 'retry')
local last, dealt, size = tonumber(known[1]), tonumber(known[2] or '0'), tonumber(known[3] or '0')
local first, most = tonumber(known[4]), #KEYS - 2

local busy, doubtful, kept, landed = ARGV[3] == '1', nil, {}, {}
for number = 0, most - 1 do
  local told = redis.call('HMGET', KEYS[number + 3], 'state', 'lease', 'landed', 'result')
  if told[1] == 'landed' then
    landed[number], kept[number] = tonumber(told[3] or told[2]), told[4] and told[4] ~= ''
  elseif told[1] and now < tonumber(told[2]) then
    busy = true
  elseif told[1] == 'sent' and number < size and not doubtful then
    doubtful = number
  end
end
local goes_on = now - dealt < GO_ON
if first and goes_on and not (landed[first] and landed[first] >= dealt) then
  busy = true  -- it was dealt just now, and its purchase may not have begun yet
end

-- Give a number: `new` if its purchase may begin now.
local function give(number, new)
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
      return give(number, true)
    end
  end
end
if doubtful then
  return { doubtful, '' }
end
if ARGV[2] == '1' and size > 0 then
  local number = tonumber(known[5] or '0') % size
  redis.call('HSET', KEYS[1], 'retry', number + 1)
  return { number, '' }
end

local number = last and last + 1 or 0
if number >= most or (not busy and (number >= size or not goes_on)) then
  number = 0
  last = 0
end
return give(number, number >= size and not kept[number])
