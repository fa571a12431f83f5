-- uses: prelude
-- KEYS[2]: explanations, KEYS[3]: their times. ARGV: how long they are kept (ms), how many at most, then request id
-- and explanation in turn.
local EXPLANATIONS, TIMES = KEYS[2], KEYS[3]
local kept_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2])

local now = now_ms()
for at = 3, #ARGV, 2 do
  call('HSET', EXPLANATIONS, ARGV[at], ARGV[at + 1])
  call('ZADD', TIMES, whole(now), ARGV[at])
end
local gone = call('ZRANGEBYSCORE', TIMES, '-inf', whole(now - kept_ms))
local excess = call('ZCARD', TIMES) - #gone - most
if excess > 0 then
  gone = call('ZRANGE', TIMES, 0, #gone + excess - 1)
end
for _, request_id in ipairs(gone) do
  call('HDEL', EXPLANATIONS, request_id)
  call('ZREM', TIMES, request_id)
end
call('PEXPIRE', EXPLANATIONS, whole(kept_ms))
call('PEXPIRE', TIMES, whole(kept_ms))
return { 'OK' }
