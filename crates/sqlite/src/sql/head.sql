SELECT max(
    coalesce((SELECT max(position) FROM events), 0),
    (SELECT floor FROM log_head)
);
