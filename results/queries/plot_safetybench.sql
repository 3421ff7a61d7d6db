-- The plot `safetybench` of the experiment :experiment (its key): accuracy by category, a panel a task, and what always
-- answering a category's most frequent option would give. Columns: plot_metrics.sql.
WITH category AS (
  SELECT *, substr(metric, 1, instr(metric, '/') - 1) AS task,
    substr(metric, instr(metric, '/') + 1) AS rest
  FROM results
  WHERE experiment_key = :experiment AND eval = 'safetybench' AND value IS NOT NULL AND metric LIKE '%/%/%')
SELECT task AS metric, protocol, iif(rest LIKE '%/acc', label, 'most frequent answer') AS series,
  substr(rest, 1, instr(rest, '/') - 1) AS x, value AS y, standard_error, count, model AS unit, run_key
FROM category
WHERE rest LIKE '%/acc' OR position = (SELECT min(position) FROM category)
ORDER BY task, rest LIKE '%/majority', position, x;
