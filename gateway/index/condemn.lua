-- uses: prelude bucket
-- Forbid the commit of a write whose bytes are about to be removed as orphans, unless something refers to it:
-- an object's version or a part at its origin, what waits in the trash, or the lease of a writer at work.
-- A write id is 16 random bytes, so finding them in a record means that the record refers to it.
-- A write from before this index began is not this index's to judge: Redis was emptied or replaced, and the blobs
-- are all that is left of the objects.
-- KEYS[8]: leases, KEYS[9]: the parts of the origin's upload, KEYS[10]: what the names of layout keys begin with,
-- KEYS[11]: when this index began.
local LEASES, PARTS, LAYOUT_PREFIX, BORN = KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local bucket_name, key, write_id, keep_ms, written_ms = unpack(ARGV)

local function hex(text)
  return (text:gsub('.', function(letter)
    return format('%02x', byte(letter))
  end))
end

local function holds(text)
  return find(text, write_id, 1, true) ~= nil
end

-- `record` is an object's. Its layout key lies in the slot of every other key of the partition.
local function layout_holds(record)
  if band(byte(record, 2), LAYOUT_KEY) == 0 then
    return false
  end
  local at = 20 + band(byte(record, 19), 127)
  local layout = call('GET', LAYOUT_PREFIX .. hex(sub(record, at, at + 15)))
  return layout and holds(layout)
end

-- Versions and trash entries that are looked through for one question: some 10 ms in which the server does nothing
-- else. Of a key with more (overwritten many times a second, say) every write counts as referenced; the next full
-- sweep asks again.
local MOST_LOOKED_AT = 5000

local function is_referenced()
  local origin = bucket_name .. '\0' .. key
  local looked_at = call('ZLEXCOUNT', OBJECTS, '[' .. key .. '\0', '(' .. key .. '\1')
    + call('ZLEXCOUNT', TRASH, '[' .. origin .. '\0', '(' .. origin .. '\1')
  if looked_at > MOST_LOOKED_AT then
    return true
  end
  for _, member in ipairs(all_versions(key)) do
    if holds(member) or layout_holds(parse_version(member).record) then
      return true
    end
  end
  for _, part in ipairs(call('ZRANGE', PARTS, 0, -1)) do
    if holds(part) then
      return true
    end
  end
  for _, member in ipairs(call('ZRANGEBYLEX', TRASH, '[' .. origin .. '\0', '(' .. origin .. '\1')) do
    local record = #origin + 11
    local is_object = byte(member, record - 1) == KIND_OBJECT
    if holds(member) or (is_object and layout_holds(sub(member, record))) then
      return true
    end
  end
  return false
end

local born = call('GET', BORN)
if not born or tonumber(written_ms) < tonumber(born) then
  return { 'OlderThanIndex' }
end
local now = now_ms()
local lease = call('ZSCORE', LEASES, write_id)
if (lease and tonumber(lease) > now) or is_referenced() then
  return { 'OK', 0 }
end
local change = new_change('condemn')
effect(change, 'ZREMRANGEBYSCORE', CONDEMNED, '-inf', whole(now))
effect(change, 'ZADD', CONDEMNED, whole(now + tonumber(keep_ms)), write_id)
commit_change(change)
return { 'OK', 1 }
