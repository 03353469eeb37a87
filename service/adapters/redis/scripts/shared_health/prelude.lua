-- Stands before every script of shared health, behind clock.lua: the keys. All of a backend is in one slot.
--
-- KEYS[1] igw:turn:{backend}:health   hash: version (microseconds since 1970, grows with every change); of an open breaker
--                                     also reason, until and row (how often it was opened without having been closed)
-- KEYS[2] igw:turn:{backend}:blocked  hash: upstream model -> until when its account is left in peace
-- KEYS[3] igw:turn:{backend}:probe    string: the turn that finds out whether the vendor is back; goes with its lease
-- KEYS[4] igw:turn:{backend}:calls    sorted set: a call under way (<turn>:<number>) -> end of its lease
-- KEYS[5] igw:turn:{backend}:rates2   hash: requests, images: amounts of the last minute, as in clock.lua
--
-- Times are microseconds, written with '%.0f': Lua would round them otherwise. Every key goes by itself.

local MEMORY_MS = 3600000 -- for which a change is remembered: as long as a replica may not have heard of it
local PROBE_MS = 15000 -- for which a probe whose replica went away is waited for; a living one shows itself every second

-- Let a key go by itself a while after a time.
local function expire(key, at, after_ms)
  redis.call('PEXPIRE', key, whole(math.max(0, math.ceil((at - now) / 1000)) + after_ms))
end
