-- How the versions of the subscription $1 stand.
SELECT record.* FROM ordain.subscription_records AS record WHERE record.name = $1 ORDER BY record.version;
