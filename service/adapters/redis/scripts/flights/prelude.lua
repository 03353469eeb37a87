-- Read and write a flight. Stands before every script of flights, behind clock.lua.
--
-- KEYS[1] igw:{team}:flight:<name>  hash: state (open, sent, landed), owner, mark (digest of the leader's request), lease (its
-- end, microseconds since 1970; of a finished flight, the end of the time in which every caller gets the result), waiting
-- (number of callers that wait); of a finished flight also failure or result without images, handed ('1' if the result is
-- shared), free ('1' if it cost nothing), landed (when it finished). Every write sets the expiry of the key. The names are
-- those of 852ba53: a finished flight is `landed` there.
-- ARGV[1] is always the owner of the call. Numbers are written with '%.0f': Lua would round them otherwise.

local values = redis.call('HMGET', KEYS[1], 'state', 'owner', 'lease', 'mark')
local flight = { state = values[1] or nil, own = values[2] == ARGV[1], lease = tonumber(values[3]), digest = values[4] or '' }

-- Whether the flight is under way and the owner leads it.
local function led()
  return flight.own and flight.state ~= 'landed'
end

-- Extend the leader's lease. ARGV[2]: lease in microseconds, ARGV[3]: milliseconds until the key expires.
local function extend_lease(state)
  local lease = whole(now + tonumber(ARGV[2]))
  redis.call('HSET', KEYS[1], 'state', state, 'owner', ARGV[1], 'lease', lease)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
