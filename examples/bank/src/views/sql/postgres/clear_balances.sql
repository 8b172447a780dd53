DELETE FROM {schema}.bank_balances_{version}
