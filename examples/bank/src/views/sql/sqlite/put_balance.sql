INSERT INTO bank_balances_{version} (account, owner, balance, reserved, closed, version)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account) DO UPDATE
SET owner = excluded.owner,
    balance = excluded.balance,
    reserved = excluded.reserved,
    closed = excluded.closed,
    version = excluded.version
