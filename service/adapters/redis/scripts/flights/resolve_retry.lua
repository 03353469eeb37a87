-- Return the flight of a request: for a retry, the flight of the request's last attempt.
-- KEYS[1] igw:{team}:wish:<name>  hash: flight (of the last attempt).
-- ARGV: flight, '1' if the request is a retry, milliseconds until it is forgotten. Reply: the flight.

local named = ARGV[2] == '1' and redis.call('HGET', KEYS[1], 'flight')
if named then
  return named
end
redis.call('HSET', KEYS[1], 'flight', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return ARGV[1]
