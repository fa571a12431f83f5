-- uses: prelude bucket
-- Store or remove one named configuration document of a bucket. ARGV: bucket id ('' for any), the field, '1' to store
-- or '' to remove, the document.
local bucket_id, field, stored, document = unpack(ARGV)

local bucket = read_bucket(bucket_id)
if not bucket then
  return { 'NoSuchBucket' }
elseif field == 'config:object-lock' and (bucket.versioning ~= 'Enabled' or stored == '') then
  return { 'VersioningRequired' }
end
local change = new_change('set_bucket_config')
touch(change, BUCKET)
if stored == '1' then
  effect(change, 'HSET', BUCKET, field, document)
else
  effect(change, 'HDEL', BUCKET, field)
end
return { 'OK', commit_change(change) }
