-- Frees the partitions of $1, which is a member of nothing any more.
WITH membership AS (
    DELETE FROM ordain.subscription_members AS member WHERE member.owner = $1
),
held AS MATERIALIZED (
    SELECT partition.name, partition.version, partition.partition
    FROM ordain.subscription_partitions AS partition
    WHERE partition.owner = $1
    ORDER BY partition.name, partition.version, partition.partition
    FOR NO KEY UPDATE
)
UPDATE ordain.subscription_partitions AS partition SET owner = NULL, lease_until = NULL, epoch = partition.epoch + 1
FROM held
WHERE partition.name = held.name AND partition.version = held.version AND partition.partition = held.partition;
