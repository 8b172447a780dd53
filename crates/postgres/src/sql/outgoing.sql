-- The first $7 commands of the share $3 of $4 that come after the instance $5 and its command $6.
SELECT command.command_id, command.instance, command.bucket, command.sequence, command.attempts, command.data
FROM ordain.outgoing_commands AS command
WHERE command.name = $1 AND command.version = $2 AND command.bucket % $4 = $3
    AND (command.instance, command.sequence) > ($5, $6)
ORDER BY command.instance, command.sequence
LIMIT $7;
