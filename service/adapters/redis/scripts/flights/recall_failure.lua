-- Return the remembered failure of a name.
-- KEYS: as in remember_failure.lua. Reply: the failure, or nil.

return redis.call('HGET', KEYS[1], 'failure')
