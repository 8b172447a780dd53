-- Commands of share ?3 of ?4, behind the sequence ?6 of instance ?5; at most ?7.
SELECT * FROM outgoing_commands
WHERE
    name = ?1
    AND version = ?2
    AND (instance, sequence) > (?5, ?6)
    AND bucket % ?4 = ?3
ORDER BY instance, sequence
LIMIT ?7;
