-- Attempts at one stage that measured different values of a metric, side by side, and what differed in the
-- conditions under which they were made. Tables show the latest.
WITH told AS (
  SELECT a.id, a.stage_key, a.ended_at, a.host FROM attempts a
  WHERE a.status = 'succeeded' AND a.stage_key IN (SELECT stage_key FROM disagreements)),
conditions AS (
  SELECT t.id, group_concat(p.key || ' ' || p.value, '; ') AS differs_in
  FROM told t JOIN provenance p ON p.attempt = t.id
  WHERE EXISTS (
    SELECT 1 FROM told o LEFT JOIN provenance q ON q.attempt = o.id AND q.key = p.key
    WHERE o.stage_key = t.stage_key AND q.value IS NOT p.value)
  GROUP BY t.id)
SELECT (SELECT group_concat(DISTINCT e.label) FROM run_stages rs JOIN experiment_runs e USING (run_key)
        WHERE rs.stage_key = t.stage_key) AS label,
  s.name AS stage, s.protocol, d.metric, coalesce(m.value, m.status) AS value, t.ended_at, t.host,
  c.differs_in
FROM disagreements d
JOIN told t ON t.stage_key = d.stage_key
JOIN stages s ON s.key = d.stage_key
JOIN metrics m ON m.attempt = t.id AND m.name = d.metric
LEFT JOIN conditions c ON c.id = t.id
ORDER BY label, s.protocol, d.metric, t.ended_at, t.id;
