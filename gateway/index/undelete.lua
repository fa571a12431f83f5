-- uses: prelude bucket trash
-- Put an object that was overwritten or deleted back in its place, as a new version with the bytes and the record of
-- old; what it replaces goes into the trash in turn. ARGV: bucket name, key, the order of the version that is wanted
-- ('' for the one trashed last).
local bucket_name, key, wanted = unpack(ARGV)

local bucket = read_bucket('')
if not bucket then
  return { 'NoSuchBucket' }
elseif bucket.versioning == 'Enabled' then
  return { 'KeepsVersions' }
end
local found = nil
if wanted == '' then
  visit_trash(bucket, bucket_name, key, function(trashed)
    found = trashed
    return true
  end)
else
  local origin = bucket_name .. '\0' .. key .. '\0'
  local reference = origin .. wanted .. char(KIND_OBJECT)
  local member = call('ZRANGEBYLEX', TRASH, '[' .. reference, '(' .. successor(reference), 'LIMIT', 0, 1)[1]
  found = member and read_trashed(bucket, origin, member)
end
if not found then
  return { 'NotInTrash' }
end

local change = new_change('undelete')
effect(change, 'ZREM', TRASH, found.member)
effect(change, 'ZREM', RECLAIM, found.reference)
local record = found.record
if band(byte(record, 2), NULL_VERSION) ~= 0 then
  -- Whether it is the null version again is for add_version to say.
  record = sub(record, 1, 1) .. char(byte(record, 2) - NULL_VERSION) .. sub(record, 3)
end
local version, replaced = add_version(change, bucket_name, bucket, key, record)
if not version then
  return { 'QuotaExceeded' }
end
commit_change(change)
return { 'OK', version.member, replaced and not is_set(replaced, DELETE_MARKER) and 1 or 0 }
