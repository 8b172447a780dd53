DELETE FROM ordain.snapshots AS taken
USING ordain.streams AS stream
WHERE stream.key = taken.stream_key AND stream.name = $1
RETURNING 1 AS deleted;
