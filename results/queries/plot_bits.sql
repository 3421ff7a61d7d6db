-- The plot `bits` of the experiment :experiment (its key): metrics against the numeric format, more bits first, a line a
-- method; the model in 16 bits is a level (x NULL). Of a format's name only the bits count, not what follows in brackets. Columns: plot_metrics.sql.
WITH own AS (
  SELECT c.run_key, c.label, c.model, substr(r.format, 1, instr(r.format || ' (', ' (') - 1) AS format, r.methods,
    r.canonical ->> '$.format.w.bits' AS w, r.canonical ->> '$.format.a.bits' AS a, r.canonical ->> '$.format.k.bits' AS k
  FROM current_runs c JOIN runs r ON r.key = c.run_key
  WHERE c.experiment_key = :experiment),
-- One method may stand in several runs of one format that differ in an option: then the labels tell them apart.
arm AS (
  SELECT *, CASE WHEN min(label) OVER place = max(label) OVER place THEN methods
    ELSE trim(replace(label || ' ', ' format=' || format || ' ', ' ')) END AS series
  FROM own
  WHERE methods <> ''
  WINDOW place AS (PARTITION BY methods, format))
SELECT r.metric, r.protocol, a.series, a.format AS x, r.value AS y, r.standard_error, r.count, a.model AS unit, a.run_key AS run_key,
  a.w, a.a, a.k
FROM arm a JOIN stage_results r ON r.run_key = a.run_key
WHERE r.kind = 'eval' AND r.value IS NOT NULL
UNION ALL
SELECT r.metric, r.protocol, o.label, NULL, r.value, r.standard_error, r.count, o.model, r.run_key, NULL, NULL, NULL
FROM own o JOIN stage_results r ON r.run_key = o.run_key
WHERE r.kind = 'eval' AND r.value IS NOT NULL AND o.methods = '' AND o.format = 'none'
ORDER BY w DESC, a DESC, k DESC, x, series, protocol, metric, run_key;
