-- uses:
-- KEYS[1]: the lease, which exists before there is an index. ARGV: holder, how long (ms; 0 gives the lease up).
local present = redis.call('GET', KEYS[1])
if present and present ~= ARGV[1] then
  return { 0, 0 }
end
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
else
  redis.call('DEL', KEYS[1])
end
return { 1, 0 }
