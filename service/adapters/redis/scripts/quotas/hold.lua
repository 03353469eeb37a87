-- Hold the amounts of all hold requests, as one request, or none.
-- KEYS: as in the prelude. ARGV: state, lease in microseconds, number of limits, scope + measure + maximum of each, then the
-- hold requests: id, quote, images, scopes (lines), quotes (lines), cost, scopes of the post (lines), entry.
-- Reply: 'lost' | 'over' (a hold of that id has ended) | 'full', now, place of the limit, requested, used, resets, wait (-1:
-- no end known) | 'held', now, held_at, then used + resets of every limit. Times are microseconds. If several limits have no
-- room, the reply names the limit that has no room for the longest time.

local FIRST_LIMIT = 4
local state, lease, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local first_request = FIRST_LIMIT + 3 * count

-- Requested sums of every scope.
local function sum_up()
  local requested_sums = {}
  for first = first_request, #ARGV, HOLD_REQUEST do
    local held = requested(first)
    for place, scope in ipairs(held.scopes) do
      local sums = requested_sums[scope] or { requests = 1, images = 0, quote = 0 }
      sums.quote = sums.quote + tonumber(held.quotes[place])
      sums.images = sums.images + held.images
      requested_sums[scope] = sums
    end
  end
  return requested_sums
end

-- How long a limit without room stays so, as numbers to compare: until a month or a day ends, until another hold ends. A
-- rate has its own wait between these; a request above the maximum waits for ever.
local LASTS = { usd_per_month = 2e18, usd_per_day = 1e18, concurrent_images = 0 }

-- Whether a cost of the limit's window was posted in this tier and held in another one.
local function is_upgraded(limit)
  local at = redis.call('HGET', KEYS[1], 'upgraded:' .. limit.scope)
  if not at or limit.asks ~= 'quote' then
    return false
  end
  local day, month = windows(tonumber(at))
  return limit.field == day .. limit.scope or limit.field == month .. limit.scope
end

-- The wait for room under a limit (-1: no end known) and the length of the lack of room; nothing if there is room.
local function wait_for(limit, sums)
  if not sums then -- the request has no amount in this scope, but a vendor's upgrades may have used all of it
    return limit.value > limit.max and is_upgraded(limit) and -1 or nil, LASTS[limit.measure]
  end
  local amount = sums[limit.asks]
  if limit.rate then
    local wait = wait_for_room(limit.minute, amount, limit.max)
    return wait, wait == -1 and math.huge or wait
  end
  if limit.value + amount > limit.max then
    return -1, amount > limit.max and math.huge or LASTS[limit.measure]
  end
end

-- The new values of rates as fields and values, or nothing and the refusal.
local function take_all(limits, requested_sums)
  local writes, refusal, longest = {}, nil, -1
  for place, limit in ipairs(limits) do
    local sums = requested_sums[limit.scope]
    local amount = sums and sums[limit.asks] or 0
    local wait, lasts = wait_for(limit, sums)
    if wait and lasts > longest then
      local used, resets = status(limit)
      refusal, longest = { 'full', now, place - 1, amount, used, resets, wait }, lasts
    elseif not refusal and limit.rate and amount > 0 then
      limit.value = limit.value + amount
      add_to_minute(limit.minute, amount)
      writes[#writes + 1] = limit.field
      writes[#writes + 1] = pack_minute(limit.minute)
    elseif not refusal and not limit.rate then
      limit.value = limit.value + amount
    end
  end
  return not refusal and writes, refusal
end

-- Time of the holds, if an earlier call has made them, and whether one has ended or only some exist.
local function find_earlier()
  local held_at, existing, requests, over = nil, 0, 0, false
  for first = first_request, #ARGV, HOLD_REQUEST do
    requests = requests + 1
    local hold = find(ARGV[first])
    if hold.state then
      existing = existing + 1
      over = over or not hold.open
      held_at = held_at or hold.held_at
    end
  end
  return held_at, over or (existing > 0 and existing < requests)
end

-- Whether a field can be deleted. The first version wrote `rate:`, the time at which a rate is free again.
local function is_idle(field, value)
  local kind = string.match(field, '^%w+:')
  if kind == 'rate2:' then
    return read_minute(value).used == 0
  end
  if kind == 'upgraded:' then
    return tonumber(value) < now - 62 * DAY
  end
  return (kind == 'rate:' and tonumber(value) < now) or (kind == 'open:' and tonumber(value) == 0)
end

-- Delete idle fields and fields of past windows, once a day. Late posts may still need the last two days.
local function clean(today)
  local oldest_day = today - 2
  local oldest_month = string.format('%04d%02d', civil(today - 31))
  local old = {}
  local fields = redis.call('HGETALL', KEYS[1])
  for place = 1, #fields, 2 do
    local field = fields[place]
    local day, month = string.match(field, '^day:(%d+):'), string.match(field, '^month:(%d+):')
    if (day and tonumber(day) < oldest_day) or (month and month < oldest_month) or is_idle(field, fields[place + 1]) then
      old[#old + 1] = field
    end
  end
  in_chunks('HDEL', KEYS[1], old)
end

local limits = limits_from(FIRST_LIMIT, count)
local ready, cleaned = read(limits)
if not ready then
  return { 'lost' }
end
local held_at, over = find_earlier()
if over then
  return { 'over' }
end
if held_at then
  return with_status({ 'held', now, held_at }, limits)
end
local writes, refusal = take_all(limits, sum_up())
if not writes then
  return refusal
end
local today = math.floor(now / DAY)
if cleaned ~= whole(today) then
  clean(today)
  writes[#writes + 1] = 'today'
  writes[#writes + 1] = whole(today)
end
local amounts = {}
for first = first_request, #ARGV, HOLD_REQUEST do
  set_aside(amounts, now, requested(first), 1)
  put(first, state, now, now + lease)
end
shift(amounts, writes)
return with_status({ 'held', now, now }, limits)
