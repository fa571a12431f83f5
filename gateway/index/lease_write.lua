-- uses: prelude
-- KEYS[2]: leases. ARGV: write id, how long (ms; 0 gives the lease up).
local LEASES = KEYS[2]
local write_id, ttl_ms = ARGV[1], tonumber(ARGV[2])

local now = now_ms()
call('ZREMRANGEBYSCORE', LEASES, '-inf', whole(now))
if ttl_ms > 0 then
  call('ZADD', LEASES, whole(now + ttl_ms), write_id)
else
  call('ZREM', LEASES, write_id)
end
return { 'OK' }
