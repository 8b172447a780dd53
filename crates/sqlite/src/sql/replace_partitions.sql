-- Partitions of version ?2 of subscription ?1 at the positions of the list ?3, under the epoch ?4, as of ?5.
DELETE FROM partitions WHERE name = ?1 AND version = ?2;
INSERT INTO partitions (name, version, partition, position, epoch, moved_at)
SELECT ?1, ?2, key, value, ?4, ?5 FROM json_each(?3);
