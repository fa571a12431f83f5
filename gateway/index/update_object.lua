-- uses: prelude bucket
-- Replace the record of one version in place, if it is still the one that was read: bytes, order and counters stay.
-- ARGV: bucket id, the member as it was read, the new record.
local bucket_id, member, record = unpack(ARGV)

if not read_bucket(bucket_id) then
  return { 'NoSuchBucket' }
elseif not call('ZSCORE', OBJECTS, member) then
  return { 'ObjectChanged' }
end

local version = parse_version(member)
if is_set(version, NULL_VERSION) then
  record = sub(record, 1, 1) .. char(byte(record, 2) + NULL_VERSION) .. sub(record, 3)
end
local change = new_change('update_object')
touch(change, subject_of(version.key))
effect(change, 'ZREM', OBJECTS, member)
effect(change, 'ZADD', OBJECTS, 0, version.key .. '\0' .. version.order .. record)
return { 'OK', commit_change(change) }
