SELECT generation, head, head_id FROM ordain.fence_1($1);
