-- Stands before every script of a flight, behind clock.lua: how a flight is read and written.
--
-- KEYS[1] igw:{team}:flight:<name>  hash: state (open, sent, landed), owner, mark, lease (its end, microseconds since
-- 1970; of a landed flight, how long everybody is told), and of a landed flight its failure or its hollow result, and when it landed. Every
-- write says when the key goes by itself.
-- ARGV[1] is always the owner that asks. Numbers are written with '%.0f': Lua would round them otherwise.

local found = redis.call('HMGET', KEYS[1], 'state', 'owner', 'lease', 'mark')
local flight = { state = found[1] or nil, own = found[2] == ARGV[1], lease = tonumber(found[3]), mark = found[4] or '' }

-- Is it under way, and is the owner its leader?
local function led()
  return flight.own and flight.state ~= 'landed'
end

-- The owner leads and is alive. ARGV[2]: lease in microseconds, ARGV[3]: milliseconds to remember the flight for from here.
local function show_life(state)
  local lease = whole(now + tonumber(ARGV[2]))
  redis.call('HSET', KEYS[1], 'state', state, 'owner', ARGV[1], 'lease', lease)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
