SELECT
    carried_out, generation, head, head_id, recorded_at, verdicts, stream_keys, bases, offsets, found_streams,
    found_versions, found_answers, found_ids
FROM ordain.append_2(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
    $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33
);
