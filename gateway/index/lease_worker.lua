-- uses: prelude
-- KEYS[2]: the lease. ARGV: holder, how long (ms; 0 gives the lease up).
local LEASE = KEYS[2]
local holder, ttl_ms = ARGV[1], tonumber(ARGV[2])

local present = call('GET', LEASE)
if present and present ~= holder then
  return { 'OK', 0 }
end
if ttl_ms > 0 then
  call('SET', LEASE, holder, 'PX', ttl_ms)
else
  call('DEL', LEASE)
end
return { 'OK', 1 }
