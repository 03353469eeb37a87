-- Merge a replica's update into the shared health, and return the merged health.
-- KEYS: as in the prelude. ARGV: 'open', 'close' or '', version that the change is based on, reason, microseconds, openings,
-- name of a probe under way or '', then upstream model and microseconds of each account that is not to be called.
-- Reply: 1 if the change was accepted, version, reason or '', microseconds left, openings, then model and microseconds of
-- each blocked account.

local FIRST_MODEL = 7
local change, base, until_time = ARGV[1], tonumber(ARGV[2]), now + tonumber(ARGV[4])

local function read()
  local values = redis.call('HMGET', KEYS[1], 'version', 'reason', 'until', 'row')
  return {
    version = tonumber(values[1] or '0'),
    reason = values[2] or '',
    ends = tonumber(values[3] or '0'),
    openings = tonumber(values[4] or '0'),
  }
end

-- Whether the change is accepted: the breaker is unchanged since its base, or the change is the longer of two openings.
local function is_acceptable(known)
  if change == '' then
    return false
  end
  return known.version == 0 or known.version == base
    or (change == 'open' and known.reason ~= '' and until_time > known.ends)
end

local known = read()
local accepted = is_acceptable(known)
if accepted then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'version', whole(math.max(now, known.version + 1)))
  if change == 'open' then
    redis.call('HSET', KEYS[1], 'reason', ARGV[3], 'until', whole(until_time), 'row', ARGV[5])
  end
  known = read()
  expire(KEYS[1], known.ends, MEMORY_MS)
end

if ARGV[6] ~= '' and redis.call('GET', KEYS[3]) == ARGV[6] then
  redis.call('PEXPIRE', KEYS[3], PROBE_MS)
end

local blocked, last = {}, 0
local pairs_read = redis.call('HGETALL', KEYS[2])
for place = 1, #pairs_read, 2 do
  blocked[pairs_read[place]] = tonumber(pairs_read[place + 1])
end
for place = FIRST_MODEL, #ARGV, 2 do
  local ends = math.max(blocked[ARGV[place]] or 0, now + tonumber(ARGV[place + 1]))
  blocked[ARGV[place]] = ends
  redis.call('HSET', KEYS[2], ARGV[place], whole(ends))
end
local reply = { accepted and 1 or 0, known.version, known.reason, math.max(0, known.ends - now), known.openings }

for model, ends in pairs(blocked) do
  if ends > now then
    last = math.max(last, ends)
    reply[#reply + 1] = model
    reply[#reply + 1] = ends - now
  else
    redis.call('HDEL', KEYS[2], model)
  end
end
if #ARGV >= FIRST_MODEL then
  expire(KEYS[2], last, 0)
end
return reply
