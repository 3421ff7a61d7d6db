-- The plot `activations` of the experiment :experiment (its key): kurtosis and SNR (dB) before each quantizer, layer by
-- layer, a panel a place. Columns: plot_metrics.sql.
SELECT v.key || ' of ' || json_extract(i.detail, '$.site') AS metric, '' AS protocol, r.label AS series,
  json_extract(i.detail, '$.layer') AS x, v.value AS y, NULL AS standard_error, 1 AS count, r.model AS unit, r.run_key
FROM (SELECT DISTINCT position, label, model, run_key, attempt FROM results
      WHERE eval = 'activations' AND experiment_key = :experiment) r
JOIN items i ON i.attempt = r.attempt, json_each(i.detail) v
WHERE v.key IN ('kurtosis', 'snr_db') AND v.type IN ('integer', 'real')
ORDER BY v.key, json_extract(i.detail, '$.site'), r.position, x;
