-- Set the counters of a day and a month to the ledger's sums plus the open holds, and mark them as counted by this run.
-- KEYS: as in the prelude. ARGV: epoch and version of the snapshot, time of the ledger's sums, number of scopes in the day,
-- scope + nano-USD of each, number of scopes in the month, scope + nano-USD of each, then ids of holds settled in the ledger.
-- Reply: 1, or 0 with nothing done: counters were lost or an entry was posted since the snapshot, or the day is over.

local at, place = tonumber(ARGV[3]), 4
local day, month = windows(at)
local server = run_id()
local known = redis.call('HMGET', KEYS[1], 'life', 'version')
if ARGV[1] ~= known[1] or not is_of_this_run(known[1]) or ARGV[2] ~= (known[2] or '0') or day ~= windows(now) then
  return 0
end

-- Read a number of scopes and their sums from ARGV.
local function take_sums(amounts, window)
  local last = place + 2 * tonumber(ARGV[place])
  for scope = place + 1, last, 2 do
    add(amounts, window .. ARGV[scope], tonumber(ARGV[scope + 1]))
  end
  place = last + 1
end

local function begins(field, start)
  return string.sub(field, 1, #start) == start
end

local amounts = {}
take_sums(amounts, day)
take_sums(amounts, month)
for settled = place, #ARGV do
  if find(ARGV[settled]).open then
    finish(ARGV[settled], 'posted')
  end
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local hold = find(id)
  if hold.open then
    local set = {}
    set_aside(set, hold.held_at, hold.held, 1)
    for field, amount in pairs(set) do
      if begins(field, day) or begins(field, month) or begins(field, 'open:') then
        add(amounts, field, amount)
      end
    end
  end
end
local stale = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if begins(field, day) or begins(field, month) or begins(field, 'open:') then
    stale[#stale + 1] = field
  end
end
in_chunks('HDEL', KEYS[1], stale)
shift(amounts, { 'ready', server })
return 1
