-- Only in a transaction can a savepoint be made.
SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT ordain; RELEASE SAVEPOINT ordain;
