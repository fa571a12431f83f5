#!lua flags=allow-oom
-- uses: prelude
-- Hand out copies that were released at least `grace_ms` ago, so that reads under way have ended, and again what was
-- handed out `again_ms` ago and is not finished. From here on no record can name such a copy.
-- KEYS[2]: copies to be deleted, KEYS[3]: those whose deletion has begun; both by time (ms).
local RELEASED, RELEASING = KEYS[2], KEYS[3]
local grace_ms, again_ms, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local now = now_ms()
local change = new_change('take_released')
local copies = call('ZRANGEBYSCORE', RELEASING, '-inf', whole(now - again_ms), 'LIMIT', 0, limit)
local left = limit - #copies
for _, copy in ipairs(left > 0 and call('ZRANGEBYSCORE', RELEASED, '-inf', whole(now - grace_ms), 'LIMIT', 0, left) or {}) do
  effect(change, 'ZREM', RELEASED, copy)
  copies[#copies + 1] = copy
end
for _, copy in ipairs(copies) do
  effect(change, 'ZADD', RELEASING, whole(now), copy)
end
if #copies > 0 then
  commit_change(change)
end
return { 'OK', copies }
