-- Every other arm of the experiment :experiment (its key) minus the RTN arm of its format, paired by training seed
-- (calibration seeds averaged inside one): mean difference, its standard error over training seeds, and in how many of them
-- it is above 0.
WITH inside AS (
  SELECT min(position) AS position, label, methods, format, model, metric, protocol, avg(value) AS value
  FROM results
  WHERE experiment_key = :experiment AND value IS NOT NULL AND metric IN ('perplexity', 'kl_aligned')
  GROUP BY label, model, metric, protocol),
paired AS (
  SELECT a.position, a.label, o.label AS minus, a.metric, a.protocol, a.value - o.value AS difference
  FROM inside a
  JOIN inside o ON o.model = a.model AND o.metric = a.metric AND o.protocol = a.protocol AND o.format = a.format
  WHERE o.methods = 'rtn' AND a.methods <> 'rtn')
SELECT label AS run, minus, metric, protocol,
  printf('%+.4f ± %.4f (%d of %d)', avg(difference),
    sqrt(max(0, sum(difference * difference) - count(*) * avg(difference) * avg(difference)) / (count(*) - 1) / count(*)),
    sum(difference > 0), count(*)) AS difference
FROM paired GROUP BY label, minus, metric, protocol ORDER BY metric DESC, min(position);
