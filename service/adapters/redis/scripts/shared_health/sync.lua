-- Tell and hear.
-- KEYS: as in the prelude. ARGV: 'open', 'close' or '', version that the change is based on, reason, microseconds, row,
-- name of a probe that is under way or '', then upstream model and microseconds of each account to be left in peace.
-- Reply: 1 if the change was taken, version, reason or '', microseconds left, row, then model and microseconds of each.

local FIRST_MODEL = 7
local change, base, until_time = ARGV[1], tonumber(ARGV[2]), now + tonumber(ARGV[4])

local function read()
  local found = redis.call('HMGET', KEYS[1], 'version', 'reason', 'until', 'row')
  return {
    version = tonumber(found[1] or '0'),
    reason = found[2] or '',
    ends = tonumber(found[3] or '0'),
    row = tonumber(found[4] or '0'),
  }
end

-- Nothing happened since its base, or it is the longer of two openings.
local function counts(known)
  if change == '' then
    return false
  end
  return known.version == 0 or known.version == base
    or (change == 'open' and known.reason ~= '' and until_time > known.ends)
end

local known = read()
local taken = counts(known)
if taken then
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
local found = redis.call('HGETALL', KEYS[2])
for place = 1, #found, 2 do
  blocked[found[place]] = tonumber(found[place + 1])
end
for place = FIRST_MODEL, #ARGV, 2 do
  local ends = math.max(blocked[ARGV[place]] or 0, now + tonumber(ARGV[place + 1]))
  blocked[ARGV[place]] = ends
  redis.call('HSET', KEYS[2], ARGV[place], whole(ends))
end
local reply = { taken and 1 or 0, known.version, known.reason, math.max(0, known.ends - now), known.row }
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
