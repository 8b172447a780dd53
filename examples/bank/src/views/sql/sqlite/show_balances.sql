CREATE VIEW bank_balances AS
SELECT account, owner, balance, reserved, closed, version
FROM bank_balances_{version}
