CREATE OR REPLACE VIEW {schema}.bank_balances AS
SELECT account, owner, balance, reserved, closed, version
FROM {schema}.bank_balances_{version}
