SELECT account, owner, balance, reserved, closed, version
FROM bank_balances_{version}
WHERE account = ?1
