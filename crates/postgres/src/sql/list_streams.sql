-- How many streams are wanted (first row, without a name), and a page of them: $1 is what the name has to
-- contain, $2 the category, $3 what they are sorted by, $4 whether the largest comes first, $5 and $6 the
-- size and the begin of the page.
WITH wanted AS MATERIALIZED (
    SELECT
        stream.name, stream.created_at, stream.deleted, last.stream_version, last.recorded_at,
        CASE $3
            WHEN 'created' THEN extract(epoch FROM stream.created_at)
            WHEN 'changed' THEN extract(epoch FROM last.recorded_at)
            WHEN 'version' THEN last.stream_version
            ELSE 0
        END AS rank
    FROM ordain.streams AS stream
    CROSS JOIN LATERAL (
        SELECT entry.stream_version, entry.recorded_at
        FROM ordain.events AS entry
        WHERE entry.stream_key = stream.key
        ORDER BY entry.stream_version DESC
        LIMIT 1
    ) AS last
    WHERE
        stream.deleted <> 2
        AND ($1::text IS NULL OR pg_catalog.strpos(stream.name, $1) > 0)
        AND ($2::text IS NULL OR stream.category = $2)
),
page AS (
    SELECT wanted.*, CASE WHEN $4 THEN -wanted.rank ELSE wanted.rank END AS place
    FROM wanted
    ORDER BY place, CASE WHEN $4 THEN wanted.name END DESC, wanted.name
    LIMIT $5 OFFSET $6
)
SELECT
    NULL::text AS name, count(*) AS version, NULL::timestamptz AS created_at, NULL::timestamptz AS changed_at,
    NULL::smallint AS deleted
FROM wanted
UNION ALL
(
    SELECT page.name, page.stream_version, page.created_at, page.recorded_at, page.deleted
    FROM page
    ORDER BY page.place, CASE WHEN $4 THEN page.name END DESC, page.name
);
