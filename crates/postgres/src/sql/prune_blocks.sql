-- Dead letters older than $3 microseconds.
DELETE FROM ordain.blocks AS block
WHERE block.name = $1 AND block.version = $2 AND block.kind = 'dead_letter'
    AND block.since < pg_catalog.clock_timestamp() - $3 * interval '1 microsecond'
RETURNING 1 AS pruned;
