-- Keys of shared health. Stands before every script of shared health, behind clock.lua. A backend's keys are in one slot.
--
-- KEYS[1] igw:turn:{backend}:health   hash: version (microseconds since 1970, grows with every change); of an open breaker
--                                     also reason, until and row (openings since it was last closed)
-- KEYS[2] igw:turn:{backend}:blocked  hash: upstream model -> end of the time in which its account is not called
-- KEYS[3] igw:turn:{backend}:probe    string: name of the slot that probes the vendor; expires with its lease
-- KEYS[4] igw:turn:{backend}:calls    sorted set: a call under way (<slot>:<number>) -> end of its lease
-- KEYS[5] igw:turn:{backend}:rates2   hash: requests, images: amounts of the last minute, as in clock.lua
--
-- Times are microseconds, written with '%.0f': Lua would round them otherwise. Every key expires.

local MEMORY_MS = 3600000 -- of a change: the longest time without a sync of a replica
local PROBE_MS = 15000 -- lease of a probe; a living replica extends it every second

-- Let a key expire some time after a moment.
local function expire(key, at, after_ms)
  redis.call('PEXPIRE', key, whole(math.max(0, math.ceil((at - now) / 1000)) + after_ms))
end
