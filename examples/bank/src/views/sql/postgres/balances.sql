SELECT account, owner, balance, reserved, closed, version
FROM {schema}.bank_balances
ORDER BY account
