-- Take a seat.
-- KEYS, ARGV: as in the prelude. Reply: 'lead' | 'wait' | 'lost' | 'landed', then its failure or ''.

if flight.state == 'landed' then
  return { 'landed', flight.failure }
end
if flight.state and not flight.own then
  if now < flight.lease then
    return { 'wait' }
  end
  if flight.state == 'sent' then
    return { 'lost' }
  end
end
show_life(flight.own and flight.state or 'open')
return { 'lead' }
