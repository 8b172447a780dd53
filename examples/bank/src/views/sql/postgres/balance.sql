SELECT account, owner, balance, reserved, closed, version
FROM {schema}.bank_balances
WHERE account = $1
