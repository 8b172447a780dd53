SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'bank_balances')
