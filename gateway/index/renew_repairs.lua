#!lua flags=allow-oom
-- uses: prelude repair_queue
-- ARGV: lease (ms), then the names of items that their worker is still at work on.
local until_ms = whole(now_ms() + tonumber(ARGV[1]))
for at = 2, #ARGV do
  call('ZADD', TAKEN, 'XX', until_ms, ARGV[at])
end
return { 'OK' }
