-- The metrics of the eval perplexity, computed anew from the stored windows alone: one row an attempt and metric, with
-- the number of windows behind it. tests/evals compares these with the table `metrics`. `tokens` counts the whole text, of
-- which no window has the tail; windows of the eval's first version do not say it. NULL: not a number, as a mean is where
-- one of its values is none.
WITH item AS (
  SELECT i.attempt, CASE i.status WHEN 'inf' THEN 9e999 WHEN '-inf' THEN -9e999 ELSE i.score END AS nll,
    json_extract(i.detail, '$.text_tokens') AS text_tokens
  FROM stages s
  JOIN attempts a ON a.stage_key = s.key
  JOIN items i ON i.attempt = a.id
  WHERE s.kind = 'eval' AND s.name = 'perplexity'
),
mean AS (
  SELECT attempt, CASE WHEN count(nll) = count(*) THEN avg(nll) END AS nll, max(text_tokens) AS tokens, count(*) AS count
  FROM item
  GROUP BY attempt
)
SELECT attempt, 'perplexity' AS metric, exp(nll) AS value, count FROM mean
UNION ALL
SELECT attempt, 'nll', nll, count FROM mean
UNION ALL
SELECT attempt, 'tokens', tokens, count FROM mean
ORDER BY attempt, metric;
