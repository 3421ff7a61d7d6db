-- What each run of the experiment :experiment (its key) scored in each task: a line a metric and run, without MMLU's
-- subjects. Metrics in the order in which the evals report them. A protocol lists all tasks of its stage; shown is what it
-- says of the metric's own: zeroshot/piqa@validation/0-shot/1/limit-200, and ... for the list where it is of several.
WITH part AS (
  SELECT *, substr(protocol, 1, instr(protocol, '/')) AS eval_name,
    substr(protocol, instr(protocol, '/') + 1) AS behind, '+' || substr(metric, 1, instr(metric, '/') - 1) || '@' AS own
  FROM results
  WHERE experiment_key = :experiment AND kind = 'eval' AND value IS NOT NULL
    AND NOT (metric LIKE 'mmlu/%/acc' AND metric NOT IN ('mmlu/stem/acc', 'mmlu/humanities/acc', 'mmlu/social_sciences/acc', 'mmlu/other/acc'))
),
listed AS (  -- +task@split+task@split+, without the parentheses of groups
  SELECT *, substr(behind, instr(behind, '/')) AS settings,
    '+' || replace(replace(substr(behind, 1, instr(behind, '/') - 1), '(', '+'), ')', '') || '+' AS list
  FROM part
),
found AS (
  SELECT *,
    CASE WHEN instr(list, own) > 0 THEN substr(list, instr(list, own) + 1) WHEN list LIKE '%@%' THEN '...+' ELSE substr(list, 2) END AS shown
  FROM listed
)
SELECT metric, eval_name || substr(shown, 1, instr(shown, '+') - 1) || settings AS protocol, label AS run,
  printf('%.4f', value) AS value, printf('%.4f', standard_error) AS "standard error", count AS questions
FROM found
ORDER BY stage_position - min(stage_position) OVER (PARTITION BY run_key), metric_position, position;
