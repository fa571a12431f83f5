-- uses: prelude bucket
-- KEYS[8]: the upload's parts, KEYS[9]: their revision.
local PARTS, REVISION = KEYS[8], KEYS[9]
local bucket_name, key, upload_id, write_ids, number, record = unpack(ARGV)

if not read_bucket('') then
  return { 'NoSuchBucket' }
end
if not find_upload(key, upload_id) then
  return { 'NoSuchUpload' }
end
if is_condemned(write_ids) then
  return { 'WriteCondemned' }
end

local change = new_change('put_part')
for _, replaced in ipairs(call('ZRANGEBYSCORE', PARTS, number, number)) do
  effect(change, 'ZREM', PARTS, replaced)
  discard(change, bucket_name, key, order_of(change.sequence), KIND_PART, replaced)
end
effect(change, 'ZADD', PARTS, number, record)
effect(change, 'SET', REVISION, whole(change.sequence))
return { 'OK', commit_change(change) }
