-- Published numbers (:published, the text of results/published.csv) beside those of the experiment :experiment (its
-- key) with the same model, format, methods and measure; without ours, those that the AAQ paper reports. Percentages.
WITH line AS (
  SELECT key AS position, value ->> 0 AS model, value ->> 1 AS setting, value ->> 2 AS method, value ->> 3 AS metric,
    value ->> 4 AS published, value ->> 5 AS source
  FROM json_each('[["' || replace(replace(trim(:published, char(10)), ',', '","'), char(10), '"],["') || '"]]')
  WHERE key > 0),
-- What the harness calls a published measure.
measure (metric, ours, protocol, scale) AS (VALUES
  ('wikitext2_ppl', 'perplexity', 'wikitext2-test/concat-2048/1', 1),
  ('zeroshot_avg', 'rotation-9/average', 'zeroshot/%', 100),
  ('safetybench_en', 'option-text/acc', 'safetybench/%', 100),
  ('safetybench_en_option_text', 'option-text/acc', 'safetybench/%', 100),
  ('safetybench_en_letter', 'letter/acc', 'safetybench/%', 100)),
ours AS (
  SELECT position, run_key, metric, protocol, value, lower(methods) AS methods, lower(format) AS format, '/' || model AS model
  FROM results
  WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL)
SELECT l.model, l.setting, l.method, l.metric, l.published, avg(o.value * m.scale) AS ours, min(o.run_key) AS run_key,
  o.protocol, l.source
FROM line l
LEFT JOIN measure m ON m.metric = l.metric
LEFT JOIN ours o ON o.metric = m.ours AND o.protocol LIKE m.protocol
  AND (o.model LIKE '%/' || l.model OR o.model LIKE '%/' || l.model || '-hf' OR o.model LIKE '%/' || l.model || '@%')
  AND (CASE l.method WHEN 'FP16' THEN o.methods = '' AND o.format = 'none'
    ELSE o.format LIKE lower(l.setting) || '%'
      AND (o.methods = replace(lower(l.method), '+', ' + ') OR o.methods = lower(l.method) || ' + gptq') END)
GROUP BY l.position, o.protocol
HAVING count(o.value) > 0 OR l.source = 'AAQ paper summary'
ORDER BY l.position;
