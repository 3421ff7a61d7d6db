-- Of an attempt :attempt at the eval flips the items that moved to the base's answer: how many, and the first five.
-- Answers are numbers of options.
SELECT id, repeat, cluster, detail ->> 'task' AS part, detail ->> 'aligned' AS aligned, detail ->> 'base' AS base,
  detail ->> 'choice' AS choice, count(*) OVER () AS changed
FROM items
WHERE attempt = :attempt AND score = 1
ORDER BY position, id, repeat
LIMIT 5;
