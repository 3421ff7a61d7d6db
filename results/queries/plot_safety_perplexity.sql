-- The plot `safety_perplexity` of the experiment :experiment (its key): each metric against the same run's perplexity, a
-- point a row of the table. Columns: plot_metrics.sql.
SELECT m.metric, m.protocol, m.label AS series, p.value AS x, m.value AS y, m.standard_error, m.count, m.model AS unit,
  m.run_key
FROM results m
JOIN results p ON p.experiment_key = m.experiment_key AND p.position = m.position
WHERE m.experiment_key = :experiment AND m.kind = 'eval' AND m.value IS NOT NULL
  AND p.eval = 'perplexity' AND p.metric = 'perplexity' AND p.value IS NOT NULL AND m.eval <> 'perplexity'
ORDER BY m.position, m.stage_position, m.metric_position;
