-- The plot `metrics` of the experiment :experiment (its key): what each run measured, a panel a metric, a line a run.
-- Queries of plots share their columns: one row a measurement; those of one place (metric, series, x) are meaned inside
-- a unit (a training seed) first and over units then, which gives the interval (harness/report/plot.h).
SELECT metric, protocol, '' AS series, label AS x, value AS y, standard_error, count, model AS unit, run_key
FROM results
WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL
ORDER BY position, stage_position, metric_position;
