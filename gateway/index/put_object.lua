-- uses: prelude bucket
-- KEYS[8]: the layout key, where there is a layout.
local bucket_name, key, bucket_id, if_match, if_none_match, write_ids, record, layout = unpack(ARGV)

local bucket = read_bucket(bucket_id)
if not bucket then
  return { 'NoSuchBucket' }
end
if if_match ~= '' or if_none_match == '1' then
  local refusal = refuse_write(current_version(key), if_match, if_none_match)
  if refusal then
    return refusal
  end
end
if is_condemned(write_ids) then
  return { 'WriteCondemned' }
end

local change = new_change('put_object')
local version, replaced = add_version(change, bucket_name, bucket, key, record)
if not version then
  return { 'QuotaExceeded' }
end
if layout ~= '' then
  effect(change, 'SET', KEYS[8], layout)
end
local sequence = commit_change(change)
local existed = replaced and not is_set(replaced, DELETE_MARKER)
return { 'OK', version_name(bucket, version), sequence, existed and 1 or 0 }
