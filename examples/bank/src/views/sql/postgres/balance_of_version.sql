SELECT account, owner, balance, reserved, closed, version
FROM {schema}.bank_balances_{version}
WHERE account = $1
