SELECT ordain.prune_instances_1($1, $2, $3, $4) AS pruned;
