-- The items of the attempt :attempt from the lowest score to the highest, those without a number last. Nothing of what
-- they ask.
SELECT id, cluster, CASE status WHEN 'finite' THEN score ELSE status END AS score
FROM items
WHERE attempt = :attempt
ORDER BY status <> 'finite', items.score, status, position, id, repeat;
