-- Items of the attempt :attempt that are right where those of the attempt :reference are wrong, or the other way round:
-- how many, and the first five. No text of the data set is stored, nor any of an answer.
SELECT i.id, i.repeat, i.cluster, coalesce(i.detail ->> 'measured', i.detail ->> 'category', '') AS part,
  r.score AS before, i.score AS after, r.detail ->> 'choice' AS choice_before, i.detail ->> 'choice' AS choice_after,
  count(*) OVER () AS changed, sum(i.score > r.score) OVER () AS higher
FROM items i
JOIN items r ON r.attempt = :reference AND r.id = i.id AND r.repeat = i.repeat
WHERE i.attempt = :attempt AND i.score IN (0, 1) AND r.score IN (0, 1) AND i.score <> r.score
ORDER BY i.position, i.id, i.repeat
LIMIT 5;
