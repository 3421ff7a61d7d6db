-- Language, safety and the control of each run of the experiment :experiment (its key) on one pair, each with its
-- standard error over prompts or windows. log-odds: of refusal openings on harmful prompts; AUC: how well these tell
-- harmful prompts from harmless ones.
WITH shown AS (
  SELECT position, label, metric,
    CASE metric WHEN 'perplexity' THEN printf('%.1f ± %.1f', value, standard_error)
      WHEN 'refusal_h_log_odds' THEN printf('%.2f ± %.2f', value, standard_error)
      ELSE printf('%.3f ± %.3f', value, standard_error) END AS text
  FROM results
  WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL)
SELECT label AS run,
  max(CASE metric WHEN 'perplexity' THEN text END) AS perplexity,
  max(CASE metric WHEN 'refusal' THEN text END) AS refusal,
  max(CASE metric WHEN 'refusal_h_log_odds' THEN text END) AS "log-odds",
  max(CASE metric WHEN 'refusal_auc' THEN text END) AS "AUC",
  max(CASE metric WHEN 'over_refusal' THEN text END) AS over_refusal,
  max(CASE metric WHEN 'control' THEN text END) AS control
FROM shown GROUP BY label ORDER BY min(position);
