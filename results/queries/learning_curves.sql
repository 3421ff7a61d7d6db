-- Learning curves of the models of the experiment :experiment (its key): every twentieth step of what is followed at
-- each step, and all of what a criterion saw.
WITH trained AS (
  SELECT DISTINCT substr(r.model, 6, instr(r.model, '/') - 6) AS pair,
    CAST(substr(r.model, instr(r.model, '@') + 1) AS INTEGER) AS seed, rs.stage_key
  FROM results r JOIN run_stages rs ON rs.run_key = r.run_key
  WHERE r.experiment_key = :experiment AND r.model LIKE 'pair:%')
SELECT t.pair, t.seed, s.name AS phase, c.series, c.step, c.value
FROM trained t
JOIN stages s ON s.key = t.stage_key AND s.kind = 'train'
JOIN shown_attempts a ON a.stage_key = s.key
JOIN curves c ON c.attempt = a.id
WHERE c.step % 20 = 0 OR c.step = 1 OR c.series LIKE 'validation%'
ORDER BY t.pair, t.seed, s.parent_key IS NOT NULL, c.series, c.step;
