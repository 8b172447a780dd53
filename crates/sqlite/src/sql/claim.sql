-- Process ?1 takes, at ?2 and until ?3, those of the partitions ?6 of version ?5 of subscription ?4 that are free.
UPDATE partitions SET owner = ?1, lease_until = ?3, epoch = epoch + 1
WHERE
    name = ?4
    AND version = ?5
    AND partition IN (SELECT value FROM json_each(?6))
    AND (owner IS NULL OR lease_until <= ?2)
    AND EXISTS (
        SELECT 1 FROM subscriptions AS one
        WHERE one.name = ?4 AND one.version = ?5 AND one.state IN ('active', 'building')
    )
RETURNING partition, epoch, position, trouble_position, trouble_error, trouble_attempts, trouble_next_attempt;
