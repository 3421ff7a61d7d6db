-- The items of the attempt :attempt as comparisons pair them: id and repeat, score, cluster, and what in their detail
-- says which metrics they count for (harness/report/comparison.cc).
SELECT id, repeat, position, CASE status WHEN 'inf' THEN 9e999 WHEN '-inf' THEN -9e999 ELSE score END, cluster,
  detail ->> 'log_odds', detail ->> 'measured', detail ->> 'harmful', detail ->> 'task', detail ->> 'category',
  detail ->> 'groups', detail ->> 'category_groups'
FROM items
WHERE attempt = :attempt
ORDER BY id, repeat;
