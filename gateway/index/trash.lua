-- What scripts share that look through the trash of one key for objects that can come back: those in the reclaim queue.
-- One that was handed to a worker may have lost its bytes already.

-- Entries of one key that are looked through: some milliseconds in which the server does nothing else.
local MOST_TRASH_LOOKED_AT = 5000
local TRASH_PAGE = 250

local function sequence_of(order)
  local high, low = struct.unpack('>I4I4', order)
  return (4294967295 - high) * 4294967296 + (4294967295 - low)
end

-- `origin` is what the members of a key begin with: bucket 00 key 00. nil where the entry cannot come back: it is none of
-- an object, or of an earlier bucket of this name, or it was handed out.
local function read_trashed(bucket, origin, member)
  local order = sub(member, #origin + 1, #origin + 8)
  if byte(member, #origin + 9) ~= KIND_OBJECT or sequence_of(order) <= tonumber(bucket.id) then
    return nil
  end
  local reference = sub(member, 1, #origin + 9)
  local trashed_ms = call('ZSCORE', RECLAIM, reference)
  if not trashed_ms then
    return nil
  end
  return { member = member, reference = reference, record = sub(member, #origin + 10), trashed_ms = trashed_ms }
end

-- Calls `visit` with the objects of a key that can come back, those trashed last first, until it returns true. In a
-- bucket that keeps no versions the order of writing is that of trashing.
local function visit_trash(bucket, bucket_name, key, visit)
  local origin = bucket_name .. '\0' .. key .. '\0'
  local upper = '(' .. bucket_name .. '\0' .. key .. '\1'
  for offset = 0, MOST_TRASH_LOOKED_AT - TRASH_PAGE, TRASH_PAGE do
    local members = call('ZRANGEBYLEX', TRASH, '[' .. origin, upper, 'LIMIT', offset, TRASH_PAGE)
    for _, member in ipairs(members) do
      local trashed = read_trashed(bucket, origin, member)
      if trashed and visit(trashed) then
        return
      end
    end
    if #members < TRASH_PAGE then
      return
    end
  end
end
