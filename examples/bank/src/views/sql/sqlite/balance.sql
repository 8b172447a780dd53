SELECT account, owner, balance, reserved, closed, version
FROM bank_balances
WHERE account = ?1
