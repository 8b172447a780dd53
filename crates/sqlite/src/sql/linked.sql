-- Which of the positions in ?2 the stream links to already.
SELECT wanted.key
FROM json_each(?2) AS wanted
CROSS JOIN events AS link ON link.stream = ?1 AND link.link_to = wanted.value
ORDER BY wanted.key
LIMIT 1;
