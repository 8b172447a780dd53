-- How subscriptions stand at the time ?1, with their partitions: those of the name ?2, those in the list ?3
-- of names and versions, or, if both are null, all.
WITH wanted AS MATERIALIZED (
    SELECT
        *,
        (
            SELECT count(*) FROM members AS member
            WHERE member.name = one.name AND member.version = one.version AND member.alive_until > ?1
        ) AS members,
        (
            SELECT count(*) FROM blocks AS block
            WHERE block.name = one.name AND block.version = one.version AND block.kind = 'dead_letter'
        ) AS dead_letters,
        (
            SELECT count(*) FROM blocks AS block
            WHERE block.name = one.name AND block.version = one.version AND block.kind = 'parked'
        ) AS parked,
        (
            SELECT count(*) FROM blocks AS block
            WHERE
                block.name = one.name
                AND block.version = one.version
                AND block.kind IN ('dead_letter', 'parked')
                AND block.request IS NOT NULL
        ) AS requests
    FROM subscriptions AS one
    WHERE
        (?2 IS NULL OR one.name = ?2)
        AND (?3 IS NULL OR (one.name, one.version) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?3)))
)
SELECT
    wanted.*,
    part.partition,
    part.position,
    part.epoch,
    part.moved_at,
    part.trouble_position,
    part.trouble_error,
    part.trouble_attempts,
    part.trouble_next_attempt,
    CASE WHEN part.lease_until > ?1 THEN part.owner END AS owner
FROM wanted
LEFT JOIN partitions AS part ON part.name = wanted.name AND part.version = wanted.version
ORDER BY wanted.name, wanted.version, part.partition;
