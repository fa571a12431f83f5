-- uses: prelude
-- Store a key of the key ring. KEYS[2]: the keys. ARGV: key id, the revision that is replaced ('0' where there must be
-- none), record.
local KMS_KEYS = KEYS[2]
local key_id, revision, record = unpack(ARGV)

local present = call('HGET', KMS_KEYS, key_id)
if (present and whole(struct.unpack('>I8', present)) or '0') ~= revision then
  return { 'KmsKeyChanged' }
end
local change = new_change('put_kms_key')
effect(change, 'HSET', KMS_KEYS, key_id, struct.pack('>I8', change.sequence) .. record)
return { 'OK', commit_change(change) }
