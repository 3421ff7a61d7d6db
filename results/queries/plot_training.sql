-- The plot `training` of the experiment :experiment (its key): what the trainings of its models and its methods followed
-- over their steps, every tenth or more so that about 60 steps are shown. Columns: plot_metrics.sql.
WITH looped AS (
  SELECT DISTINCT min(c.position) AS position, s.kind, s.name,
    CASE s.kind WHEN 'train' THEN s.name ELSE c.label END AS series, c.model, c.run_key, a.id AS attempt
  FROM current_runs c
  JOIN run_stages rs ON rs.run_key = c.run_key
  JOIN stages s ON s.key = rs.stage_key AND s.kind IN ('train', 'method')
  JOIN shown_attempts a ON a.stage_key = s.key
  WHERE c.experiment_key = :experiment
  GROUP BY a.id),
point AS (
  SELECT l.*, c.series AS metric, c.step, c.value, max(c.step) OVER (PARTITION BY l.kind, c.series) AS last
  FROM looped l JOIN curves c ON c.attempt = l.attempt
  WHERE c.value IS NOT NULL AND c.series NOT LIKE '%\_snr\_db/%' ESCAPE '\')  -- of layers, not of steps
SELECT metric || iif(kind = 'train', ' (training of the pair)', '') AS metric, '' AS protocol, series, step AS x, value AS y,
  NULL AS standard_error, 1 AS count, model AS unit, run_key
FROM point
WHERE last < 120 OR step % ((last + 59) / 60) = 0 OR metric LIKE 'validation%'
ORDER BY kind DESC, metric, position, step;
