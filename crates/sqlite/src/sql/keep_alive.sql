-- Process ?1 is alive at ?2 and until ?3, works on the subscriptions of the list ?4, and renews the leases of
-- the list ?5.
DELETE FROM members WHERE alive_until <= ?2;
INSERT INTO members (name, version, owner, alive_until)
SELECT value ->> 0, value ->> 1, ?1, ?3 FROM json_each(?4) WHERE true
ON CONFLICT DO UPDATE SET alive_until = excluded.alive_until;
UPDATE partitions SET lease_until = ?3
WHERE
    owner = ?1
    AND (name, version, partition, epoch) IN (
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?5)
    );
