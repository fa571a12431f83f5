-- What scripts on one bucket share: the bucket's state, versions, conditions, the reclaim queue.
-- The layout of members and records is told in object_encoding.py.

local RECLAIM, TRASH, CONDEMNED = KEYS[2], KEYS[3], KEYS[4]
local BUCKET, OBJECTS, UPLOADS = KEYS[5], KEYS[6], KEYS[7]

local NULL_VERSION, DELETE_MARKER, LAYOUT_KEY, LOCKED = 1, 2, 4, 8
local GOVERNANCE, LEGAL_HOLD = 1, 4
local KIND_OBJECT, KIND_PART, KIND_UPLOAD, KIND_EXTENTS = 1, 2, 3, 4
local UPLOAD_ID_SIZE = 32

local band = bit.band

-- The subject of changes of a key's versions.
local function subject_of(key)
  return OBJECTS .. '\0' .. key
end

-- nil where there is no such bucket, or where it is not the one of `expected_id` ('' asks for any).
local function read_bucket(expected_id)
  local fields = call('HMGET', BUCKET, 'id', 'versioning', 'objects', 'bytes', 'owner', 'quota_bytes', 'quota_objects')
  if not fields[1] or (expected_id ~= '' and fields[1] ~= expected_id) then
    return nil
  end
  return {
    id = fields[1],
    versioning = fields[2],
    objects = tonumber(fields[3]),
    bytes = tonumber(fields[4]),
    owner = fields[5],
    quota_bytes = tonumber(fields[6] or nil),
    quota_objects = tonumber(fields[7] or nil),
  }
end

local function write_counters(change, bucket)
  effect(change, 'HSET', BUCKET, 'objects', whole(bucket.objects), 'bytes', whole(bucket.bytes))
end

-- 2^64 - 1 - sequence in 8 bytes, big-endian.
local function order_of(sequence)
  return struct.pack('>I4I4', 4294967295 - floor(sequence / 4294967296), 4294967295 - sequence % 4294967296)
end

local function parse_version(member)
  local nul = find(member, '\0', 1, true)
  local record = sub(member, nul + 9)
  return {
    member = member,
    key = sub(member, 1, nul - 1),
    order = sub(member, nul + 1, nul + 8),
    record = record,
    flags = byte(record, 2),
    size = struct.unpack('>I8', record, 3),
    modified_ms = struct.unpack('>I8', record, 11),
    etag = sub(record, 19, 19 + band(byte(record, 19), 127)),
  }
end

local function is_set(version, flag)
  return band(version.flags, flag) ~= 0
end

-- Whether object lock forbids that a version ceases to be: the one place where this is decided, for deletes of
-- clients, of lifecycle rules and of administrators alike. `bypass` lets a GOVERNANCE retention be passed over.
local function is_protected(version, bypass)
  if not is_set(version, LOCKED) then
    return false
  end
  local at = 20 + band(byte(version.record, 19), 127) + (is_set(version, LAYOUT_KEY) and 16 or 0)
  local bits, until_ms = byte(version.record, at), struct.unpack('>I8', version.record, at + 1)
  if band(bits, LEGAL_HOLD) ~= 0 then
    return true
  end
  return until_ms > now_ms() and not (bypass and band(bits, GOVERNANCE) ~= 0)
end

local function current_version(key)
  local members = call('ZRANGEBYLEX', OBJECTS, '[' .. key .. '\0', '(' .. key .. '\1', 'LIMIT', 0, 1)
  return members[1] and parse_version(members[1])
end

-- Every version of a key, newest first.
local function all_versions(key)
  return call('ZRANGEBYLEX', OBJECTS, '[' .. key .. '\0', '(' .. key .. '\1')
end

local function null_version(bucket, key)
  if bucket.versioning == '' then
    return current_version(key) -- such a bucket has never held another
  end
  for _, member in ipairs(all_versions(key)) do
    local version = parse_version(member)
    if is_set(version, NULL_VERSION) then
      return version
    end
  end
  return nil
end

-- `selector` is '' for the current version, 'null', or the order of a version.
local function find_version(bucket, key, selector)
  if selector == '' then
    return current_version(key)
  elseif selector == 'null' then
    return null_version(bucket, key)
  end
  local prefix = key .. '\0' .. selector
  local upper = successor(prefix)
  local members = call('ZRANGEBYLEX', OBJECTS, '[' .. prefix, '(' .. upper, 'LIMIT', 0, 1)
  local version = members[1] and parse_version(members[1])
  return version and not is_set(version, NULL_VERSION) and version or nil
end

-- How a client names a version: nothing in a bucket that was never versioned.
local function version_name(bucket, version)
  if is_set(version, NULL_VERSION) then
    return bucket.versioning == '' and '' or 'null'
  end
  return version.order
end

-- A refusal where the conditions of a write do not hold of the current version, else nil.
local function refuse_write(current, if_match, if_none_match)
  local exists = current and not is_set(current, DELETE_MARKER)
  if if_none_match == '1' and exists then
    return { 'ConditionFailed', 'If-None-Match' }
  end
  if if_match == '' then
    return nil
  end
  if not exists then
    return { 'NoSuchKey' }
  end
  if if_match ~= '*' and if_match ~= current.etag then
    return { 'ConditionFailed', 'If-Match' }
  end
  return nil
end

-- Whether one of these write ids (16 bytes each, joined) may no longer be committed.
local function is_condemned(write_ids)
  if write_ids == '' or call('EXISTS', CONDEMNED) == 0 then
    return false
  end
  for at = 1, #write_ids, 16 do
    if call('ZSCORE', CONDEMNED, sub(write_ids, at, at + 15)) then
      return true
    end
  end
  return false
end

-- Queue what nothing refers to any more. (bucket, key, order, kind) names the entry and must be unique.
local function discard(change, bucket_name, key, order, kind, record)
  local reference = bucket_name .. '\0' .. key .. '\0' .. order .. char(kind)
  effect(change, 'ZADD', TRASH, 0, reference .. record)
  effect(change, 'ZADD', RECLAIM, whole(now_ms()), reference)
end

-- The one way in which a version ceases to be.
local function remove_version(change, bucket_name, bucket, version)
  effect(change, 'ZREM', OBJECTS, version.member)
  touch(change, subject_of(version.key))
  if not is_set(version, DELETE_MARKER) then
    bucket.objects = bucket.objects - 1
    bucket.bytes = bucket.bytes - version.size
    discard(change, bucket_name, version.key, version.order, KIND_OBJECT, version.record)
  end
end

-- Whether the counters, which grew by this much, are over the bucket's quota. A bucket that is over it already takes
-- whatever does not make it larger.
local function is_over_quota(bucket, more_objects, more_bytes)
  return (bucket.quota_objects and more_objects > 0 and bucket.objects > bucket.quota_objects)
    or (bucket.quota_bytes and more_bytes > 0 and bucket.bytes > bucket.quota_bytes)
end

-- The one way in which a version comes to be: in a bucket that is not versioning it is the null version and
-- replaces the one before. Returns the version and the replaced one, or nil where the bucket's quota forbids it: then
-- the change must not be committed.
local function add_version(change, bucket_name, bucket, key, record)
  local replaced = nil
  local objects, bytes = bucket.objects, bucket.bytes
  if bucket.versioning ~= 'Enabled' then
    replaced = null_version(bucket, key)
    if replaced and is_protected(replaced, false) then
      -- Buckets with object lock are versioning and stay so: nothing of theirs is replaced.
      error('a locked version would be replaced')
    elseif replaced then
      remove_version(change, bucket_name, bucket, replaced)
    end
    record = sub(record, 1, 1) .. char(byte(record, 2) + NULL_VERSION) .. sub(record, 3)
  end
  local version = parse_version(key .. '\0' .. order_of(change.sequence) .. record)
  effect(change, 'ZADD', OBJECTS, 0, version.member)
  touch(change, subject_of(key))
  if not is_set(version, DELETE_MARKER) then
    bucket.objects = bucket.objects + 1
    bucket.bytes = bucket.bytes + version.size
  end
  if is_over_quota(bucket, bucket.objects - objects, bucket.bytes - bytes) then
    return nil
  end
  write_counters(change, bucket)
  return version, replaced
end

local function find_upload(key, upload_id)
  local prefix = key .. '\0' .. upload_id
  return call('ZRANGEBYLEX', UPLOADS, '[' .. prefix, '(' .. prefix .. '\255', 'LIMIT', 0, 1)[1]
end

-- `member` is the upload's in UPLOADS. Its parts stay where they are until they are reclaimed.
local function abort_upload(bucket_name, member)
  local change = new_change('abort_upload')
  local nul = find(member, '\0', 1, true)
  effect(change, 'ZREM', UPLOADS, member)
  local key, record = sub(member, 1, nul - 1), sub(member, nul + 1)
  discard(change, bucket_name, key, order_of(change.sequence), KIND_UPLOAD, record)
  return commit_change(change)
end
