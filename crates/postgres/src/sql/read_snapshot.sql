SELECT taken.stream_version, taken.entry, taken.schema_version, taken.taken_at, taken.data
FROM ordain.snapshots AS taken
JOIN ordain.streams AS stream ON stream.key = taken.stream_key AND stream.deleted <> 2
WHERE stream.name = $1;
