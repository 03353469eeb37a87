-- The failure that is kept under a name.
-- KEYS: as in remember. Reply: the failure, or nil.

return redis.call('HGET', KEYS[1], 'failure')
