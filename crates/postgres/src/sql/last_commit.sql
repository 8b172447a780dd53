-- What last became of the partition $1, $2, $3; waits for a progress that is being made.
SELECT partition.epoch, partition.position, partition.last_commit
FROM ordain.subscription_partitions AS partition
WHERE partition.name = $1 AND partition.version = $2 AND partition.partition = $3
FOR UPDATE;
