-- End a sent hold with what it cost: counters are set right, its entry goes on its way to the books.
-- KEYS: as in the prelude. ARGV: id, cost, booked scopes (lines), entry, the entry's held_at (0: not known).
-- Reply: the state the hold is in now; and if this call put the entry there, its ticket, when it was held, and now.

local id, cost, booked, entry = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local hold, amounts = find(id), {}
if hold.state and hold.state ~= 'sent' then
  return { hold.state }
end
local held_at = hold.held_at
if hold.open then
  give_back(amounts, hold)
else
  held_at = tonumber(ARGV[5])
  if held_at == 0 then
    held_at = now
  end
end
local ticket = book(amounts, entry, held_at, booked, cost)
shift(amounts)
finish(id, 'posted')
return { 'posted', ticket, held_at, now }
