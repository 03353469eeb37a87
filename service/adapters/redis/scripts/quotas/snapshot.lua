-- What a rebuild has to know. A life of the counters begins with the first audit after they were lost, or after the server was
-- restarted; it is lost with them. The version grows within a life.
-- KEYS: as in the prelude. ARGV: none. Reply: life, version, now, ids of the open holds.

local life = redis.call('HGET', KEYS[1], 'life')
if not is_of_this_run(life) then
  life = run_id() .. '.' .. whole(now)
  redis.call('HSET', KEYS[1], 'life', life)
end
return { life, redis.call('HGET', KEYS[1], 'version') or '0', now, redis.call('ZRANGE', KEYS[2], 0, -1) }
