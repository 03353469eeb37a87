-- Sends a request with another number in it each time, until there were enough or the time is over, and then waits for
-- every answer before it ends: wrk itself would leave those under way. tools/bench/wrk.py starts this.
--
-- Arguments: file of the request, its mark, connections, most requests, seconds, first number, step between numbers.
local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long micros; } moment;
  int gettimeofday(moment *now, void *zone);
  int getpid(void);
  int kill(int pid, int signal);
]])
local INTERRUPT, FOREVER, SETTLING = 2, 1e8, 30 -- milliseconds, in which all connections are made
local now = ffi.new("moment")
local threads, before, after = {}, nil, nil
local connections, most, seconds, number, step, issued = 0, 0, 0, 0, 0, 0
local CONNECTIONS, COMPLETE = 3, 4 -- places in wrk's own record of its thread (src/wrk.h), in words of 8 bytes
local record
begun, finished, asked = nil, nil, 0 -- thread:get reads globals

local function clock()
  ffi.C.gettimeofday(now, nil)
  return tonumber(now.seconds) + tonumber(now.micros) / 1e6
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local text = file:read("*a")
  file:close()
  local first, last = text:find(args[2], 1, true)
  before, after = text:sub(1, first - 1), text:sub(last + 1)
  connections, most, seconds = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  number, step = tonumber(args[6]), tonumber(args[7])
  record = ffi.cast("uint64_t **", wrk.thread)[0]
  assert(tonumber(record[CONNECTIONS]) == connections, "this wrk keeps its records in another way")
end

function request()
  begun = begun or clock()
  asked = asked + 1
  number = number + step
  if #after > 1e6 then
    collectgarbage() -- megabytes that lie around make LuaJIT run out of memory
  end
  return before .. string.format("%012d", number) .. after
end

-- Called before each request of each connection; what it returns is waited first.
function delay()
  if issued < connections then
    begun, asked, issued = nil, 0, issued + 1 -- wrk has asked for one request before, to see what it is like
    return SETTLING
  end
  local moment = clock()
  if issued < most and moment < begun + seconds then
    issued = issued + 1
    return 0
  end
  if not finished and tonumber(record[COMPLETE]) == issued then -- connections that rest may be closed and made again
    finished = moment
    ffi.C.kill(ffi.C.getpid(), INTERRUPT)
  end
  return FOREVER
end

-- A connection that rests and is closed counts as an error of reading; one that is closed in mid-answer asks again.
function done(summary, latency, requests)
  local thread, errors, told = threads[1], summary.errors, {}
  for index = 1, #latency do
    local value, count = latency(index)
    told[index] = string.format("[%d,%d]", value, count)
  end
  io.write(string.format(
    '\nRESULT {"begun":%.6f,"finished":%.6f,"asked":%d,"count":%d,"bytes":%d,"micros":%d,"failed":%d,"latencies":[%s]}\n',
    thread:get("begun"), thread:get("finished") or 0, thread:get("asked"), summary.requests, summary.bytes, summary.duration,
    errors.connect + errors.write + errors.status + errors.timeout, table.concat(told, ",")))
end
