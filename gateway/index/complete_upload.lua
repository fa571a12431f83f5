-- uses: prelude bucket
-- The object takes over the bytes of the parts that the caller has chosen; `unused` are the extents of the
-- others. The caller has read the parts, and the revision tells whether they still are what it read.
-- The answer is remembered for as long as clients may ask again.
-- KEYS[8]: the upload's parts, KEYS[9]: their revision, KEYS[10]: the answer, KEYS[11]: the layout key.
local PARTS, REVISION, ANSWER, LAYOUT = KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local bucket_name, key, upload_id, revision, remember_ms = unpack(ARGV, 1, 5)
local bucket_id, if_match, if_none_match, write_ids, record, layout, unused = unpack(ARGV, 6)

local bucket = read_bucket(bucket_id)
if not bucket then
  return { 'NoSuchBucket' }
end
local upload = find_upload(key, upload_id)
if not upload then
  local answer = call('GET', ANSWER)
  return answer and { 'OK', answer, 1 } or { 'NoSuchUpload' }
end
if (call('GET', REVISION) or '0') ~= revision then
  return { 'UploadChanged' }
end
local refusal = refuse_write(current_version(key), if_match, if_none_match)
if refusal then
  return refusal
end
if is_condemned(write_ids) then
  return { 'WriteCondemned' }
end

local change = new_change('complete_upload')
local version = add_version(change, bucket_name, bucket, key, record)
if not version then
  return { 'QuotaExceeded' }
end
if layout ~= '' then
  effect(change, 'SET', LAYOUT, layout)
end
if unused ~= '' then
  discard(change, bucket_name, key, version.order, KIND_EXTENTS, unused)
end
effect(change, 'ZREM', UPLOADS, upload)
effect(change, 'UNLINK', PARTS, REVISION)
local answer = bucket.versioning .. '\0' .. version.member
effect(change, 'SET', ANSWER, answer, 'PXAT', whole(now_ms() + tonumber(remember_ms)))
commit_change(change)
return { 'OK', answer, 0 }
