-- The plot `ablation` of the experiment :experiment (its key): metrics against each number that the experiment sweeps.
-- A swept run's label ends in " KEY=VALUE" (harness/core/experiment.cc); what stands before is the series. Runs that
-- nothing was done to are a level (x NULL) in every panel. Columns: plot_metrics.sql.
WITH own AS (
  SELECT c.position, c.label, c.model, c.run_key, r.canonical, r.methods
  FROM current_runs c JOIN runs r ON r.key = c.run_key
  WHERE c.experiment_key = :experiment),
leaf AS (
  SELECT DISTINCT o.position, o.label, o.model, o.run_key, j.key AS swept, j.value AS x,
    substr(o.label, instr(o.label, ' ' || j.key || '=')) || ' ' AS rest
  FROM own o, json_tree(o.canonical) j
  WHERE j.type IN ('integer', 'real') AND instr(o.label, ' ' || j.key || '=') > 0),
swept AS (
  SELECT position, model, run_key, swept, x,
    trim(replace(label || ' ', substr(rest, 1, 1 + instr(substr(rest, 2), ' ')), ' ')) AS series
  FROM leaf
  WHERE CAST(substr(rest, length(swept) + 3) AS REAL) = x)
SELECT r.metric, r.protocol, s.swept AS x_title, s.series, s.x, r.value AS y, r.standard_error, r.count, s.model AS unit,
  s.run_key AS run_key
FROM swept s JOIN stage_results r ON r.run_key = s.run_key
WHERE r.kind = 'eval' AND r.value IS NOT NULL
UNION ALL
SELECT r.metric, r.protocol, k.swept, o.label, NULL, r.value, r.standard_error, r.count, o.model, r.run_key
FROM (SELECT DISTINCT swept FROM swept) k JOIN own o ON o.methods = '' JOIN stage_results r ON r.run_key = o.run_key
WHERE r.kind = 'eval' AND r.value IS NOT NULL
ORDER BY x_title, protocol, metric, series, x, run_key;
