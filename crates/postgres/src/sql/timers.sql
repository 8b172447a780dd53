SELECT timer.instance, timer.key, timer.bucket, timer.generation, timer.due_at, timer.data
FROM ordain.timers AS timer
WHERE timer.name = $1 AND timer.version = $2 AND timer.instance = $3
ORDER BY timer.key;
