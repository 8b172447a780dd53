DELETE FROM ordain.timers AS timer
WHERE timer.name = $1 AND timer.version = $2 AND timer.instance = $3 AND timer.key = $4
RETURNING 1 AS cancelled;
