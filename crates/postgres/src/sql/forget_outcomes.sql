-- Up to $2 answers remembered before $1.
DELETE FROM ordain.command_outcomes AS outcome
WHERE outcome.first_event = ANY (ARRAY(
    SELECT old.first_event FROM ordain.command_outcomes AS old
    WHERE old.recorded_at < $1 ORDER BY old.recorded_at LIMIT $2
))
RETURNING 1 AS forgotten;
