-- by_training_seed.sql with fewer columns: arms of the experiment :experiment (its key) over training seeds of a pair,
-- calibration seeds averaged inside each; mean and standard deviation over training seeds.
WITH inside AS (
  SELECT min(position) AS position, label, model, metric, avg(value) AS value
  FROM results
  WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL
    AND NOT (metric = 'to_base' AND eval = 'token_flips')  -- of answers, not of tokens
  GROUP BY label, model, metric),
over_seeds AS (
  SELECT min(position) AS position, label, metric,
    printf('%.3f ± %.3f', round(avg(value), 3) + 0,
      sqrt(max(0, sum(value * value) - count(*) * avg(value) * avg(value)) / (count(*) - 1))) AS text
  FROM inside GROUP BY label, metric)
SELECT label AS run,
  max(CASE metric WHEN 'perplexity' THEN text END) AS perplexity,
  max(CASE metric WHEN 'skill' THEN text END) AS skill,
  max(CASE metric WHEN 'ok_h' THEN text END) AS ok_h,
  max(CASE metric WHEN 'refusal' THEN text END) AS refusal,
  max(CASE metric WHEN 'over_refusal' THEN text END) AS over_refusal,
  max(CASE metric WHEN 'control' THEN text END) AS control,
  max(CASE metric WHEN 'to_base' THEN text END) AS to_base,
  max(CASE metric WHEN 'kl_aligned' THEN text END) AS kl_aligned
FROM over_seeds GROUP BY label ORDER BY min(position);
