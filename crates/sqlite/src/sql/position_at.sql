-- The highest position recorded at or before ?1. Times ascend along the log, so the place is found by
-- halving; positions missing from `events` were erased, and their times stand in `erased`.
WITH RECURSIVE search (low, high) AS (
    SELECT 0, coalesce((SELECT max(position) FROM events), 0)
    UNION ALL
    SELECT iif(is_before, middle, low), iif(is_before, high, middle - 1)
    FROM (
        SELECT
            low,
            high,
            (low + high + 1) / 2 AS middle,
            coalesce(
                (
                    SELECT recorded_at FROM events
                    WHERE position <= (low + high + 1) / 2
                    ORDER BY position DESC LIMIT 1
                ) <= ?1,
                1
            ) AS is_before
        FROM search
        WHERE low < high
    )
),
found (high) AS MATERIALIZED (SELECT max(low) FROM search)
SELECT max(
    coalesce((SELECT max(position) FROM events WHERE position <= (SELECT high FROM found)), 0),
    coalesce((
        SELECT position FROM erased
        WHERE position <= (SELECT high FROM found) AND recorded_at <= ?1
        ORDER BY position DESC LIMIT 1
    ), 0)
);
