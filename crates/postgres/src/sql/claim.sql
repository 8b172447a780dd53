-- Gives the free ones of the partitions $5 of the subscription $3, $4 to $1, for $2 microseconds. Those of $1
-- itself count as free if $6: a claim before may have been made whose answer did not come.
WITH free AS MATERIALIZED (
    SELECT partition.partition
    FROM ordain.subscription_partitions AS partition
    JOIN ordain.subscriptions AS subscription
        ON subscription.name = partition.name AND subscription.version = partition.version
    WHERE partition.name = $3 AND partition.version = $4 AND partition.partition = ANY ($5)
        AND subscription.state IN ('active', 'building')
        AND (
            partition.owner IS NULL
            OR partition.lease_until <= pg_catalog.clock_timestamp()
            OR ($6 AND partition.owner = $1)
        )
    ORDER BY partition.partition
    FOR NO KEY UPDATE OF partition SKIP LOCKED
    FOR SHARE OF subscription SKIP LOCKED
)
UPDATE ordain.subscription_partitions AS partition
SET
    owner = $1,
    lease_until = pg_catalog.clock_timestamp() + $2 * interval '1 microsecond',
    epoch = partition.epoch + 1
WHERE partition.name = $3 AND partition.version = $4
    AND partition.partition = ANY (ARRAY(SELECT free.partition FROM free))
RETURNING
    partition.partition, partition.epoch, partition.position, partition.trouble_position, partition.trouble_error,
    partition.trouble_attempts, partition.next_attempt;
