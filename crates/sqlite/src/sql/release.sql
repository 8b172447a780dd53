-- The epochs rise, so that nothing is committed under the leases any more.
UPDATE partitions SET owner = NULL, lease_until = NULL, epoch = epoch + 1
WHERE
    owner IS NOT NULL
    AND (name, version, partition, epoch) IN (
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1)
    );
