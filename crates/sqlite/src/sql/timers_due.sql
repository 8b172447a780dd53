-- Timers of share ?3 of ?4 that are due at ?5, at most ?6 (kind 0), and when the next is due (kind 1).
SELECT 0 AS kind, due.*
FROM (
    SELECT * FROM timers
    WHERE name = ?1 AND version = ?2 AND due_at <= ?5 AND bucket % ?4 = ?3
    ORDER BY due_at, instance, key
    LIMIT ?6
) AS due
UNION ALL
SELECT 1, next.*
FROM (
    SELECT * FROM timers
    WHERE name = ?1 AND version = ?2 AND due_at > ?5 AND bucket % ?4 = ?3
    ORDER BY due_at
    LIMIT 1
) AS next
ORDER BY kind, due_at, instance, key;
