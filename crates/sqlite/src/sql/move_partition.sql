-- Partition ?3 of version ?2 of subscription ?1 moves, under the epoch ?4, from ?5 to ?6, at the time ?7.
UPDATE partitions SET position = ?6, moved_at = iif(?6 = ?5, moved_at, ?7)
WHERE
    name = ?1
    AND version = ?2
    AND partition = ?3
    AND epoch = ?4
    AND position = ?5
    AND owner IS NOT NULL;
