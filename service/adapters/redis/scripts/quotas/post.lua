-- End a sent hold with what it cost: counters are set right, its entry goes on its way to the books.
-- KEYS: as in the prelude. ARGV: id, cost, booked scopes (lines), entry, the entry's held_at (0: not known).
-- Reply: the state the hold is in now; and if this call put the entry there, its ticket, when it was held, and now.

local id, cost, booked, entry = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local hold, amounts, writes = find(id), {}, {}

-- A tier that is booked and was not held: its window was not asked at the hold, so it is asked from now on.
local function mark_upgrade()
  local held = {}
  for _, scope in ipairs(hold.held.scopes) do
    held[scope] = true
  end
  for _, scope in ipairs(lines(booked)) do
    if string.sub(scope, 1, 5) == 'tier:' and not held[scope] then
      local field = 'upgraded:' .. scope
      local last = math.max(tonumber(redis.call('HGET', KEYS[1], field) or 0), hold.held_at)
      writes[#writes + 1], writes[#writes + 2] = field, whole(last)
    end
  end
end

if hold.state and hold.state ~= 'sent' then
  return { hold.state }
end
local held_at = hold.held_at
if hold.open then
  give_back(amounts, hold)
  mark_upgrade()
else
  held_at = tonumber(ARGV[5])
  if held_at == 0 then
    held_at = now
  end
end
local ticket = book(amounts, entry, held_at, booked, cost)
shift(amounts, writes)
finish(id, 'posted')
return { 'posted', ticket, held_at, now }
