-- The plot `flips` of the experiment :experiment (its key): of the answers on which the aligned model and its base
-- disagree, the shares kept on the aligned answer, moved to the base's and put elsewhere. Columns: plot_metrics.sql.
SELECT replace(protocol, '/flips/1', '') AS metric, '' AS protocol, CASE metric WHEN 'kept' THEN 'kept'
    WHEN 'to_base' THEN 'to the base''s answer' ELSE 'elsewhere' END AS series,
  label AS x, value AS y, standard_error, count, model AS unit, run_key
FROM results
WHERE experiment_key = :experiment AND eval IN ('flips', 'token_flips') AND metric IN ('kept', 'to_base', 'elsewhere')
  AND value IS NOT NULL
ORDER BY stage_position, position, metric = 'kept' DESC, metric = 'to_base' DESC;
