-- One row for each metric of each run of the experiment :experiment (its key), and one for a run or stage that
-- has none, in the order of the file. `harness report` makes the table of it: one row a run, one column a
-- metric. A query of one's own (--query FILE) may add, drop or compute columns.
SELECT position, label, run_key, model, scheme, format, methods, seed, kind, stage, protocol, metric,
  value, status, standard_error, count, attempt, attempt_status, message, host, pid, process
FROM results
WHERE experiment_key = :experiment
ORDER BY position, stage_position, metric_position;
