-- Under which conditions the results of the experiment :experiment (its key) were made: each value of each key,
-- with the runs whose shown attempts have it.
SELECT p.key, p.value, group_concat(DISTINCT r.label) AS runs
FROM (SELECT DISTINCT experiment_key, position, label, attempt FROM results) r
JOIN provenance p ON p.attempt = r.attempt
WHERE r.experiment_key = :experiment
GROUP BY p.key, p.value
ORDER BY p.key, min(r.position), p.value;
