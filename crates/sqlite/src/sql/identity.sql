-- What the file says it is: whose, which version, and whether it holds anything.
SELECT
    (SELECT application_id FROM pragma_application_id()),
    (SELECT user_version FROM pragma_user_version()),
    EXISTS (SELECT 1 FROM sqlite_schema);
