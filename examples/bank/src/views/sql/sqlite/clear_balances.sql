DELETE FROM bank_balances_{version}
