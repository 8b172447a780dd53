SELECT
    block.key, block.kind, block.position, block.event_id, block.error, block.attempts, block.since, block.request
FROM ordain.blocks AS block
WHERE block.name = $1 AND block.version = $2
ORDER BY block.key
LIMIT $3;
