-- Every version of every experiment, the one used last first: how many runs it has, and of how many all evals
-- are stored.
SELECT e.name, substr(e.key, 1, 12) AS key, count(*) AS runs, sum(r.complete) AS complete,
  substr(e.used_at, 1, 16) || 'Z' AS used
FROM experiments e
JOIN (
  SELECT experiment_key, position,
    min(attempt_status = 'succeeded' OR kind IS NOT 'eval') AND max(kind = 'eval') AS complete
  FROM results
  GROUP BY experiment_key, position
) r ON r.experiment_key = e.key
GROUP BY e.key
ORDER BY e.used_at DESC, e.name, e.key;
