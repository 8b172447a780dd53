-- The highest position recorded at or before ?1. Times ascend along the log, so the place is found by
-- halving the step; positions missing from `events` were erased, and their times stand in `erased`.
WITH RECURSIVE search (position, step) AS (
    SELECT 0, 1 << 62
    UNION ALL
    SELECT
        search.position + iif(
            search.position + search.step <= (SELECT coalesce(max(position), 0) FROM events)
            AND coalesce(
                (
                    SELECT entry.recorded_at FROM events AS entry
                    WHERE entry.position <= search.position + search.step
                    ORDER BY entry.position DESC LIMIT 1
                ) <= ?1,
                1
            ),
            search.step,
            0
        ),
        search.step >> 1
    FROM search
    WHERE search.step > 0
),
found (position) AS MATERIALIZED (SELECT max(position) FROM search)
SELECT max(
    coalesce((
        SELECT max(entry.position) FROM events AS entry
        WHERE entry.position <= (SELECT position FROM found)
    ), 0),
    coalesce((
        SELECT gone.position FROM erased AS gone
        WHERE gone.position <= (SELECT position FROM found) AND gone.recorded_at <= ?1
        ORDER BY gone.position DESC LIMIT 1
    ), 0)
);
