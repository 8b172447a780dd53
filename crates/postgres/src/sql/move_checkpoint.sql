-- Moves the checkpoint of the partition $1, $2, $3 under the epoch $4 from $5 to $6. With $8, only in the transaction
-- that was begun for the work.
UPDATE ordain.subscription_partitions AS partition
SET
    position = $6,
    moved_at = CASE WHEN $6 <> partition.position THEN pg_catalog.clock_timestamp() ELSE partition.moved_at END,
    last_commit = $7
WHERE partition.name = $1 AND partition.version = $2 AND partition.partition = $3
    AND partition.epoch = $4 AND partition.owner IS NOT NULL AND partition.position = $5
    AND (NOT $8 OR pg_catalog.current_setting('ordain_work.state', true) = 'open')
RETURNING 1 AS moved;
