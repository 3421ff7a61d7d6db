-- pair_summary.sql over training seeds of the pair, which are the unit: of each arm of the experiment :experiment (its key)
-- the mean and the standard deviation over them, calibration seeds averaged inside each. Differences of arms, paired by
-- training seed, with intervals and tests: harness report NAME --all-pairs.
WITH inside AS (
  SELECT min(position) AS position, label, model, metric, avg(value) AS value,
    CASE metric WHEN 'perplexity' THEN 1 WHEN 'refusal_h_log_odds' THEN 2 ELSE 3 END AS digits
  FROM results
  WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL
  GROUP BY label, model, metric),
over_seeds AS (
  SELECT min(position) AS position, label, metric, count(*) AS seeds,
    printf('%.*f ± %.*f', digits, round(avg(value), digits) + 0, digits,
      sqrt(max(0, sum(value * value) - count(*) * avg(value) * avg(value)) / (count(*) - 1))) AS text
  FROM inside GROUP BY label, metric)
SELECT label AS run, max(seeds) AS "training seeds",
  max(CASE metric WHEN 'perplexity' THEN text END) AS perplexity,
  max(CASE metric WHEN 'refusal' THEN text END) AS refusal,
  max(CASE metric WHEN 'refusal_h_log_odds' THEN text END) AS "log-odds",
  max(CASE metric WHEN 'refusal_auc' THEN text END) AS "AUC",
  max(CASE metric WHEN 'over_refusal' THEN text END) AS over_refusal,
  max(CASE metric WHEN 'control' THEN text END) AS control,
  max(CASE metric WHEN 'kl_aligned' THEN text END) AS kl_aligned,
  max(CASE metric WHEN 'kl_base' THEN text END) AS kl_base
FROM over_seeds GROUP BY label ORDER BY min(position);
