-- uses: prelude
-- One reading command, ARGV. KEYS[2]: what it reads.
return call(unpack(ARGV))
