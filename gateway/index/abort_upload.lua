#!lua flags=allow-oom
-- uses: prelude bucket
local bucket_name, key, upload_id = unpack(ARGV)

if not read_bucket('') then
  return { 'NoSuchBucket' }
end
local upload = find_upload(key, upload_id)
if not upload then
  return { 'NoSuchUpload' }
end
return { 'OK', abort_upload(bucket_name, upload) }
