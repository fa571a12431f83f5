-- uses: prelude bucket
-- The upload and a page of its parts. KEYS[8]: its parts, KEYS[9]: their revision.
-- ARGV: key, upload id, part number to start after, how many parts.
local PARTS, REVISION = KEYS[8], KEYS[9]
local key, upload_id, after, limit = unpack(ARGV)

if not read_bucket('') then
  return { 'NoSuchBucket' }
end
local upload = find_upload(key, upload_id)
if not upload then
  return { 'NoSuchUpload' }
end
local parts = call('ZRANGEBYSCORE', PARTS, '(' .. after, '+inf', 'LIMIT', 0, limit)
return { 'OK', upload, tonumber(call('GET', REVISION) or '0'), parts }
