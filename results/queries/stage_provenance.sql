-- Under which conditions each attempt behind the experiment :experiment (its key) was made.
SELECT DISTINCT p.attempt, p.key, p.value
FROM current_runs c
JOIN run_stages rs ON rs.run_key = c.run_key
JOIN shown_attempts a ON a.stage_key = rs.stage_key
JOIN provenance p ON p.attempt = a.id
WHERE c.experiment_key = :experiment
ORDER BY p.attempt, p.key;
