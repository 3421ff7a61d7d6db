-- Every stage of every run of the experiment :experiment (its key), with what its shown attempt measured: one row a
-- metric, and one for a stage without.
SELECT c.position, c.label, c.run_key, c.model, r.scheme, r.format, r.methods, r.seed, rs.position AS stage_position,
  s.kind, s.name AS stage, s.protocol, a.id AS attempt, coalesce(a.status, 'not started') AS attempt_status, a.message,
  a.started_at, a.ended_at, a.wall_seconds, a.peak_memory_bytes, m.name AS metric, m.value, m.status, m.standard_error, m.count
FROM current_runs c
JOIN runs r ON r.key = c.run_key
LEFT JOIN run_stages rs ON rs.run_key = c.run_key
LEFT JOIN stages s ON s.key = rs.stage_key
LEFT JOIN shown_attempts a ON a.stage_key = s.key
LEFT JOIN metrics m ON m.attempt = a.id
WHERE c.experiment_key = :experiment
ORDER BY c.position, rs.position, m.position;
