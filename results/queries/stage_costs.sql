-- What each stage of the experiment :experiment (its key) took, in the order of its runs.
SELECT r.label AS run, s.kind, s.name AS stage, round(a.wall_seconds, 1) AS seconds,
  round(a.cpu_seconds, 1) AS cpu_seconds, CAST(round(a.peak_memory_bytes / 1e6) AS INTEGER) AS peak_mb
FROM (SELECT DISTINCT position, label, run_key FROM results WHERE experiment_key = :experiment) r
JOIN run_stages rs ON rs.run_key = r.run_key
JOIN stages s ON s.key = rs.stage_key
JOIN shown_attempts a ON a.stage_key = s.key
ORDER BY r.position, rs.position;
