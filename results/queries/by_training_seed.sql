-- Arms of the experiment :experiment (its key) over training seeds of a pair: calibration seeds are averaged inside a
-- training seed, which is the unit. Of each metric the mean over training seeds, and the standard deviation over them.
WITH inside AS (
  SELECT position, label, model, metric, avg(value) AS value
  FROM results
  WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL
    AND NOT (metric LIKE 'to_base%' AND eval = 'token_flips')  -- of answers, not of tokens
    AND metric IN ('perplexity', 'skill', 'ok_h', 'ok_h_log_odds', 'ok_b', 'refusal', 'refusal_log_odds',
      'over_refusal', 'control', 'control_log_odds', 'to_base', 'to_base_excess', 'kl_aligned', 'kl_base')
  GROUP BY label, model, metric),
over_seeds AS (
  SELECT min(position) AS position, label, metric, count(*) AS seeds, avg(value) AS mean,
    sqrt(max(0, sum(value * value) - count(*) * avg(value) * avg(value)) / (count(*) - 1)) AS sd
  FROM inside GROUP BY label, metric)
SELECT label AS run, max(seeds) AS "training seeds",
  max(CASE metric WHEN 'perplexity' THEN printf('%.3f ± %.3f', mean, sd) END) AS perplexity,
  max(CASE metric WHEN 'skill' THEN printf('%.3f ± %.3f', mean, sd) END) AS skill,
  max(CASE metric WHEN 'ok_h' THEN printf('%.3f ± %.3f', mean, sd) END) AS ok_h,
  max(CASE metric WHEN 'ok_b' THEN printf('%.3f ± %.3f', mean, sd) END) AS ok_b,
  max(CASE metric WHEN 'refusal' THEN printf('%.3f ± %.3f', mean, sd) END) AS refusal,
  max(CASE metric WHEN 'over_refusal' THEN printf('%.3f ± %.3f', mean, sd) END) AS over_refusal,
  max(CASE metric WHEN 'control' THEN printf('%.3f ± %.3f', mean, sd) END) AS control,
  max(CASE metric WHEN 'to_base' THEN printf('%.3f ± %.3f', mean, sd) END) AS to_base,
  max(CASE metric WHEN 'to_base_excess' THEN printf('%.3f ± %.3f', mean, sd) END) AS to_base_excess,
  max(CASE metric WHEN 'kl_aligned' THEN printf('%.3f ± %.3f', round(mean, 3) + 0, sd) END) AS kl_aligned,
  max(CASE metric WHEN 'kl_base' THEN printf('%.3f ± %.3f', mean, sd) END) AS kl_base,
  max(CASE metric WHEN 'ok_h_log_odds' THEN printf('%.2f ± %.2f', mean, sd) END) AS "ok_h log-odds",
  max(CASE metric WHEN 'refusal_log_odds' THEN printf('%.2f ± %.2f', mean, sd) END) AS "refusal log-odds",
  max(CASE metric WHEN 'control_log_odds' THEN printf('%.2f ± %.2f', mean, sd) END) AS "control log-odds"
FROM over_seeds GROUP BY label ORDER BY min(position);
