-- How many streams are wanted (kind 0), and a page of them (kind 1): ?1 is what the name has to contain, ?2
-- the category, ?3 what they are sorted by, ?4 and ?5 the size and the begin of the page.
WITH wanted AS MATERIALIZED (
    SELECT
        key,
        name,
        created_at,
        deleted,
        CASE ?3
            WHEN 'created' THEN created_at
            WHEN 'changed' THEN (
                SELECT entry.recorded_at FROM events AS entry
                WHERE entry.stream = streams.key ORDER BY entry.version DESC LIMIT 1
            )
            WHEN 'version' THEN (SELECT max(entry.version) FROM events AS entry WHERE entry.stream = streams.key)
        END AS rank
    FROM streams
    WHERE
        deleted <> 2
        AND (?1 IS NULL OR instr(name, ?1) > 0)
        AND (?2 IS NULL OR category = ?2)
),
page AS (
    SELECT * FROM wanted ORDER BY rank ASC, name ASC LIMIT ?4 OFFSET ?5
)
SELECT NULL AS name, count(*) AS version, NULL AS created_at, NULL AS changed_at, NULL AS deleted
FROM wanted
UNION ALL
SELECT page.name, last.version, page.created_at, last.recorded_at, page.deleted
FROM page
CROSS JOIN events AS last ON last.position = (
    SELECT entry.position FROM events AS entry
    WHERE entry.stream = page.key ORDER BY entry.version DESC LIMIT 1
);
