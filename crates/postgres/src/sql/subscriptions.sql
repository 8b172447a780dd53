-- How the subscriptions stand.
SELECT record.* FROM ordain.subscription_records AS record ORDER BY record.name, record.version;
