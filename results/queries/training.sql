-- How the models of the experiment :experiment (its key) were trained, where the harness trained them: one row a
-- phase and seed, with what the criterion saw last.
WITH trained AS (
  SELECT DISTINCT substr(r.model, 6, instr(r.model, '/') - 6) AS pair,
    CAST(substr(r.model, instr(r.model, '@') + 1) AS INTEGER) AS seed, rs.stage_key
  FROM results r JOIN run_stages rs ON rs.run_key = r.run_key
  WHERE r.experiment_key = :experiment AND r.model LIKE 'pair:%')
SELECT t.pair, t.seed, s.name AS phase,
  max(CASE WHEN m.name = 'steps' THEN CAST(m.value AS INTEGER) END) AS steps,
  max(CASE WHEN m.name = 'loss' THEN round(m.value, 4) END) AS loss,
  coalesce(group_concat(CASE WHEN m.name NOT IN ('steps', 'loss')
    THEN replace(m.name, 'validation_', '') || ' ' || round(m.value, 4) END, ', '), '') AS validation,
  round(a.wall_seconds, 1) AS seconds, round(a.cpu_seconds, 1) AS cpu_seconds,
  CAST(round(a.peak_memory_bytes / 1e6) AS INTEGER) AS peak_mb
FROM trained t
JOIN stages s ON s.key = t.stage_key AND s.kind = 'train'
JOIN shown_attempts a ON a.stage_key = s.key
LEFT JOIN metrics m ON m.attempt = a.id
GROUP BY t.pair, t.seed, s.key
ORDER BY t.pair, t.seed, s.parent_key IS NOT NULL;
