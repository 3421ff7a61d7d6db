-- pair_summary.sql over training seeds, which are the unit: of each arm of the experiment :experiment (its key) the mean and
-- the standard deviation over training seeds, and under it, paired by training seed, the arm minus OSTQuant: mean
-- difference, its standard error, and in how many seeds it is above 0. Calibration seeds are averaged inside a training seed.
WITH inside AS (
  SELECT min(position) AS position, label, model, metric, avg(value) AS value
  FROM results
  WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL
  GROUP BY label, model, metric),
rows AS (
  SELECT position, 0 AS row, label, model, metric, value FROM inside
  UNION ALL
  SELECT a.position, 1, a.label || ' minus OSTQuant', a.model, a.metric, a.value - o.value
  FROM inside a JOIN inside o ON o.model = a.model AND o.metric = a.metric AND o.label = 'OSTQuant' AND a.label != o.label),
over_seeds AS (
  SELECT min(position) AS position, row, label, metric, count(*) AS seeds, avg(value) AS mean, sum(value > 0) AS above,
    CASE metric WHEN 'perplexity' THEN 1 WHEN 'refusal_h_log_odds' THEN 2 ELSE 3 END AS digits,
    sqrt(max(0, sum(value * value) - count(*) * avg(value) * avg(value)) / (count(*) - 1)) AS sd
  FROM rows GROUP BY label, metric),
shown AS (
  SELECT *, CASE row WHEN 0 THEN printf('%.*f ± %.*f', digits, round(mean, digits) + 0, digits, sd)
    ELSE printf('%+.*f ± %.*f (%d of %d)', digits, mean, digits, sd / sqrt(seeds), above, seeds) END AS text
  FROM over_seeds)
SELECT label AS run, max(seeds) AS "training seeds",
  max(CASE metric WHEN 'perplexity' THEN text END) AS perplexity,
  max(CASE metric WHEN 'refusal' THEN text END) AS refusal,
  max(CASE metric WHEN 'refusal_h_log_odds' THEN text END) AS "log-odds",
  max(CASE metric WHEN 'refusal_auc' THEN text END) AS "AUC",
  max(CASE metric WHEN 'over_refusal' THEN text END) AS over_refusal,
  max(CASE metric WHEN 'control' THEN text END) AS control,
  max(CASE metric WHEN 'kl_aligned' THEN text END) AS kl_aligned,
  max(CASE metric WHEN 'kl_base' THEN text END) AS kl_base
FROM shown GROUP BY label ORDER BY min(position), row;
