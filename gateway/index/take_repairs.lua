#!lua flags=allow-oom
-- uses: prelude repair_queue
-- Hand out what is due, the most urgent first, and nothing that another worker has a lease of.
-- ARGV: how many, lease (ms), first and last class.
local limit, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])

local now = now_ms()
call('ZREMRANGEBYSCORE', TAKEN, '-inf', whole(now))
local held = call('ZCARD', TAKEN)
local found = {}
for class = tonumber(ARGV[3]), tonumber(ARGV[4]) do
  for _, name in ipairs(call('ZRANGEBYSCORE', DUE[class], '-inf', whole(now), 'LIMIT', 0, limit + held)) do
    if #found >= 2 * limit then
      break
    end
    local value = call('HGET', ITEMS, name)
    if value and not call('ZSCORE', TAKEN, name) then
      call('ZADD', TAKEN, whole(now + lease_ms), name)
      found[#found + 1] = name
      found[#found + 1] = value
    end
  end
end
return { 'OK', found }
