DELETE FROM subscriptions WHERE name = ?1 AND version = ?2;
DELETE FROM partitions WHERE name = ?1 AND version = ?2;
DELETE FROM members WHERE name = ?1 AND version = ?2;
DELETE FROM blocks WHERE name = ?1 AND version = ?2;
DELETE FROM process_instances WHERE name = ?1 AND version = ?2;
DELETE FROM outgoing_commands WHERE name = ?1 AND version = ?2;
DELETE FROM timers WHERE name = ?1 AND version = ?2;
