-- How many items are stored of each attempt behind the evals of the experiment :experiment (its key).
SELECT i.attempt, count(*) AS items
FROM (SELECT DISTINCT a.id FROM current_runs c
      JOIN run_stages rs ON rs.run_key = c.run_key
      JOIN stages s ON s.key = rs.stage_key AND s.kind = 'eval'
      JOIN shown_attempts a ON a.stage_key = s.key
      WHERE c.experiment_key = :experiment) own
JOIN items i ON i.attempt = own.id
GROUP BY i.attempt;
