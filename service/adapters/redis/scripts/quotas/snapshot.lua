-- Return the state of the counters for a rebuild. An epoch begins with the first snapshot after the counters were lost or
-- the server was restarted. It is lost with the counters. The version grows within an epoch.
-- KEYS: as in the prelude. ARGV: none. Reply: epoch, version, now, ids of the open holds.

local epoch = redis.call('HGET', KEYS[1], 'life')
if not is_of_this_run(epoch) then
  epoch = run_id() .. '.' .. whole(now)
  redis.call('HSET', KEYS[1], 'life', epoch)
end
return { epoch, redis.call('HGET', KEYS[1], 'version') or '0', now, redis.call('ZRANGE', KEYS[2], 0, -1) }
