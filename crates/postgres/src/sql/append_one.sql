SELECT carried_out, generation, head, head_id, recorded_at, NULL::integer[] AS verdicts
FROM ordain.append_one_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);
