-- What a change of version ?2 of subscription ?1 is judged on.
SELECT
    (SELECT generation FROM subscriptions WHERE name = ?1 AND version = ?2) AS generation,
    (SELECT min(position) FROM partitions WHERE name = ?1 AND version = ?2) AS position,
    (SELECT max(epoch) FROM partitions WHERE name = ?1 AND version = ?2) AS epoch;
