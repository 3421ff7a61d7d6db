-- Arms of the experiment :experiment (its key) minus OSTQuant ("OSTQuant W3A3" of "AAQ W3A3" where labels have more than the
-- method), and arms "X on chat" minus "X on text"; paired by training seed (calibration seeds averaged inside one): mean
-- difference, its standard error over training seeds, and in how many of them it is above 0.
WITH inside AS (
  SELECT position, label, model, metric, avg(value) AS value
  FROM results
  WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL
    AND NOT (metric LIKE 'to_base%' AND eval = 'token_flips')  -- of answers, not of tokens
    AND metric IN ('perplexity', 'skill', 'ok_h', 'refusal', 'over_refusal', 'control', 'to_base', 'kl_aligned')
  GROUP BY label, model, metric),
paired AS (
  SELECT a.position, a.label, o.label AS minus, a.metric, a.value - o.value AS difference
  FROM inside a JOIN inside o ON o.model = a.model AND o.metric = a.metric AND o.label != a.label AND (
    o.label = 'OSTQuant'
    OR o.label = 'OSTQuant' || substr(a.label, instr(a.label, ' ')) AND 'OSTQuant' NOT IN (SELECT label FROM inside)
    OR o.label = substr(a.label, 1, instr(a.label, ' on ')) || 'on text')),
over_seeds AS (
  SELECT min(position) AS position, label, minus, metric, count(*) AS seeds,
    printf('%+.4f ± %.4f (%d of %d)', avg(difference),
      sqrt(max(0, sum(difference * difference) - count(*) * avg(difference) * avg(difference))
        / (count(*) - 1) / count(*)), sum(difference > 0), count(*)) AS text
  FROM paired GROUP BY label, minus, metric)
SELECT label AS run, minus,
  max(CASE metric WHEN 'perplexity' THEN text END) AS perplexity,
  max(CASE metric WHEN 'skill' THEN text END) AS skill,
  max(CASE metric WHEN 'ok_h' THEN text END) AS ok_h,
  max(CASE metric WHEN 'refusal' THEN text END) AS refusal,
  max(CASE metric WHEN 'over_refusal' THEN text END) AS over_refusal,
  max(CASE metric WHEN 'control' THEN text END) AS control,
  max(CASE metric WHEN 'to_base' THEN text END) AS to_base,
  max(CASE metric WHEN 'kl_aligned' THEN text END) AS kl_aligned
FROM over_seeds GROUP BY label, minus ORDER BY min(position), minus;
