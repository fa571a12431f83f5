-- uses: prelude bucket layouts
-- What refers to a write, found from its origin: a version of the key, a part of its upload, or the trash.
-- A write id is 16 random bytes, so finding them in a record means that the record refers to it.
-- KEYS[8]: the parts of the origin's upload, KEYS[9]: what the names of layout keys begin with.
-- ARGV: bucket name, key, upload id ('' for none), write id, where to go on ('' to begin), how many versions or
-- entries of the trash to look at.
-- Returns kind, member, layout, where to go on; kind '' where nothing was found.
local PARTS, LAYOUT_PREFIX = KEYS[8], KEYS[9]
local bucket_name, key, upload_id, write_id, cursor, limit = unpack(ARGV)

local function holds(text)
  return text and find(text, write_id, 1, true) ~= nil
end

-- A cursor is 'o' and the last version, or 't' and the last entry of the trash, that were looked at.
local phase, after = sub(cursor, 1, 1), sub(cursor, 2)

if phase ~= 't' then
  local lower = phase == '' and '[' .. key .. '\0' or '(' .. after
  local members = call('ZRANGEBYLEX', OBJECTS, lower, '(' .. key .. '\1', 'LIMIT', 0, limit)
  for _, member in ipairs(members) do
    if holds(member) then
      return { 'OK', 'object', member, false, '' }
    end
    local layout = layout_of(LAYOUT_PREFIX, parse_version(member).record)
    if holds(layout) then
      return { 'OK', 'object', member, layout, '' }
    end
  end
  if #members == tonumber(limit) then
    return { 'OK', '', false, false, 'o' .. members[#members] }
  end
  for _, part in ipairs(upload_id ~= '' and call('ZRANGE', PARTS, 0, -1) or {}) do
    if holds(part) then
      return { 'OK', find_upload(key, upload_id) and 'part' or 'aborted', part, false, '' }
    end
  end
end

local origin = bucket_name .. '\0' .. key
local lower = phase == 't' and '(' .. after or '[' .. origin .. '\0'
local entries = call('ZRANGEBYLEX', TRASH, lower, '(' .. origin .. '\1', 'LIMIT', 0, limit)
for _, member in ipairs(entries) do
  if holds(member) then
    return { 'OK', 'trash', member, false, '' }
  end
  local record = #origin + 11
  local layout = byte(member, record - 1) == KIND_OBJECT and layout_of(LAYOUT_PREFIX, sub(member, record))
  if holds(layout) then
    return { 'OK', 'trash', member, layout, '' }
  end
end
return { 'OK', '', false, false, #entries == tonumber(limit) and 't' .. entries[#entries] or '' }
