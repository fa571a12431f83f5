-- uses: prelude bucket
-- The id begins with the number of this change, so that ids sort by initiation, and ends in what was drawn.
local key, bucket_id, drawn, record = unpack(ARGV)

if not read_bucket(bucket_id) then
  return { 'NoSuchBucket' }
end
local change = new_change('create_upload')
local high, low = floor(change.sequence / 4294967296), change.sequence % 4294967296
local upload_id = format('%08x%08x', high, low) .. drawn
effect(change, 'ZADD', UPLOADS, 0, key .. '\0' .. upload_id .. record)
commit_change(change)
return { 'OK', upload_id }
