-- Asks for $4 to be done about the dead letter of the key $3, or about all if it is null.
UPDATE ordain.blocks AS block SET request = $4
WHERE block.name = $1 AND block.version = $2 AND block.kind = 'dead_letter' AND ($3::text IS NULL OR block.key = $3)
RETURNING 1 AS requested;
