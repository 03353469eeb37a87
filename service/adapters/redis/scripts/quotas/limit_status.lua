-- Return the status of limits. Writes nothing.
-- KEYS: as in the prelude. ARGV: scope + measure + maximum of every limit.
-- Reply: 'lost' | 'stand', now, then used + resets of every limit; microseconds.

local limits = limits_from(1, #ARGV / 3)
if not read(limits) then
  return { 'lost' }
end
return with_status({ 'stand', now }, limits)
