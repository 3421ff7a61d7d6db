-- The views of the database of results: the program's own, made anew when it opens a database of an older schema.
-- Those on one experiment look rows up by its key and never read those of others: a database holds many.

-- The attempt that stands for its stage: the latest that succeeded, else the latest.
CREATE VIEW shown_attempts AS
SELECT * FROM attempts a
WHERE id = (
  SELECT id FROM attempts
  WHERE stage_key = a.stage_key
  ORDER BY status = 'succeeded' DESC, coalesce(ended_at, started_at) DESC, id
  LIMIT 1);

-- The runs of each experiment that were used last, one for each place in the file.
CREATE VIEW current_runs AS
SELECT * FROM experiment_runs c
WHERE run_key = (
  SELECT run_key FROM experiment_runs
  WHERE experiment_key = c.experiment_key AND position = c.position
  ORDER BY used_at DESC, run_key
  LIMIT 1);

-- What each stage of a run says for itself: its metrics, or that it has none yet, or what went wrong. Loads
-- and methods that succeeded without a metric say nothing.
CREATE VIEW stage_results AS
SELECT rs.run_key, rs.position AS stage_position, s.key AS stage_key, s.kind, s.name AS stage,
  s.protocol, m.position AS metric_position, m.name AS metric, m.value, m.status, m.standard_error,
  m.count, a.id AS attempt, coalesce(a.status, 'not started') AS attempt_status, a.message, a.host, a.pid,
  a.process
FROM run_stages rs
JOIN stages s ON s.key = rs.stage_key
LEFT JOIN shown_attempts a ON a.stage_key = s.key
LEFT JOIN metrics m ON m.attempt = a.id
WHERE s.kind = 'eval' OR m.name IS NOT NULL OR (a.status IS NOT NULL AND a.status <> 'succeeded');

-- The rows of each experiment, whatever became of them.
CREATE VIEW experiment_rows AS
SELECT e.name AS experiment, e.key AS experiment_key, c.position, c.label, c.run_key, c.model, r.scheme, r.format,
  r.methods, r.seed
FROM experiments e
JOIN current_runs c ON c.experiment_key = e.key
JOIN runs r ON r.key = c.run_key;

-- What tables are made of: one row a metric, and at least one row a run, whatever became of it.
CREATE VIEW results AS
SELECT x.*, sr.stage_position, sr.stage_key, sr.kind, sr.stage,
  CASE WHEN sr.kind = 'eval' THEN sr.stage END AS eval, sr.protocol, sr.metric_position, sr.metric, sr.value,
  sr.status, sr.standard_error, sr.count, sr.attempt, sr.attempt_status, coalesce(sr.message, '') AS message, sr.host,
  sr.pid, sr.process
FROM experiment_rows x
JOIN stage_results sr ON sr.run_key = x.run_key
UNION ALL
SELECT x.*, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'not started', '', NULL, NULL,
  NULL
FROM experiment_rows x
WHERE NOT EXISTS (SELECT * FROM stage_results sr WHERE sr.run_key = x.run_key);

-- Stages whose succeeded attempts measured different values of one metric.
CREATE VIEW disagreements AS
SELECT a.stage_key, m.name AS metric, count(*) AS attempts,
  count(DISTINCT coalesce(m.value, m.status)) AS values_measured, min(m.value) AS least,
  max(m.value) AS greatest
FROM attempts a
JOIN metrics m ON m.attempt = a.id
WHERE a.status = 'succeeded'
GROUP BY a.stage_key, m.name
HAVING values_measured > 1;

-- How often models did what was asked, by scorer: for each item the share of its samples that did,
-- among those that the scorer could tell of.
CREATE VIEW judged_items AS
SELECT c.attempt, c.id, c.repeat, v.scorer, json_extract(i.detail, '$.measured') AS measured,
  json_extract(i.detail, '$.category') AS category, avg(v.complied) AS complied
FROM completions c
JOIN items i USING (attempt, id, repeat)
JOIN verdicts v ON v.answer = c.answer
WHERE v.complied IS NOT NULL
GROUP BY c.attempt, c.id, c.repeat, v.scorer;
