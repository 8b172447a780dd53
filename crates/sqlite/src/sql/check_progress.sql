-- Whether partition ?3 of version ?2 of subscription ?1 stands at ?5 under the epoch ?4, and how many of the
-- commands ?6, timers ?7 and blocks ?8 are not there.
SELECT
    EXISTS (
        SELECT 1 FROM partitions
        WHERE
            name = ?1
            AND version = ?2
            AND partition = ?3
            AND epoch = ?4
            AND position = ?5
            AND owner IS NOT NULL
    ) AS holds,
    (
        SELECT count(*) FROM json_each(?6) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM outgoing_commands
            WHERE command_id = unhex(wanted.value) AND name = ?1 AND version = ?2
        )
    ) + (
        SELECT count(*) FROM json_each(?7) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM timers
            WHERE
                name = ?1
                AND version = ?2
                AND instance = wanted.value ->> 0
                AND key = wanted.value ->> 1
                AND generation = wanted.value ->> 2
        )
    ) + (
        SELECT count(*) FROM json_each(?8) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM blocks
            WHERE
                name = ?1
                AND version = ?2
                AND key = wanted.value ->> 0
                AND position = wanted.value ->> 1
                AND request IS wanted.value ->> 2
        )
    ) AS missing;
