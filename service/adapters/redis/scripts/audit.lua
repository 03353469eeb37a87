-- What a rebuild has to know. The version names the server too: one that came back from an older copy may repeat a number.
-- KEYS: as in the prelude. ARGV: none. Reply: version, now, ids of the open holds.

local version = redis.call('HGET', KEYS[1], 'version') or '0'
return { run_id() .. ':' .. version, now, redis.call('ZRANGE', KEYS[2], 0, -1) }
