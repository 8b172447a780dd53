WITH s AS (SELECT oid FROM pg_namespace WHERE nspname = $1)
SELECT format('column %s.%s %s %s %s %s %s', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
              a.attnotnull, a.attcollation, pg_get_expr(d.adbin, d.adrelid)) AS line
FROM s, pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = s.oid
UNION ALL
SELECT format('relation %s %s %s', c.relname, c.relkind, c.reloptions) FROM s, pg_class AS c WHERE c.relnamespace = s.oid
UNION ALL
SELECT format('constraint %s %s', conname, pg_get_constraintdef(c.oid)) FROM s, pg_constraint AS c WHERE c.connamespace = s.oid
UNION ALL
SELECT format('index %s', pg_get_indexdef(i.indexrelid))
FROM s, pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relnamespace = s.oid
UNION ALL
SELECT format('trigger %s', pg_get_triggerdef(t.oid))
FROM s, pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.relnamespace = s.oid AND NOT t.tgisinternal
UNION ALL
SELECT format('function %s', pg_get_functiondef(p.oid)) FROM s, pg_proc AS p WHERE p.pronamespace = s.oid
UNION ALL
SELECT format('type %s', t.typname) FROM s, pg_type AS t WHERE t.typnamespace = s.oid

