-- Of the runs of the experiment :experiment (its key) that were quantized by gptq, by part of a block: the output of its
-- Linear over the error that its quantized weights leave there, in dB, mean over the layers (the least of them).
SELECT r.label AS run,
  max(CASE part WHEN 'self_attn.q_proj' THEN text END) AS q,
  max(CASE part WHEN 'self_attn.k_proj' THEN text END) AS k,
  max(CASE part WHEN 'self_attn.v_proj' THEN text END) AS v,
  max(CASE part WHEN 'self_attn.o_proj' THEN text END) AS o,
  max(CASE part WHEN 'mlp.gate_proj' THEN text END) AS gate,
  max(CASE part WHEN 'mlp.up_proj' THEN text END) AS up,
  max(CASE part WHEN 'mlp.down_proj' THEN text END) AS down
FROM (
  SELECT r.position, r.label, substr(c.series, length('output_snr_db/') + 1) AS part,
    printf('%.1f (%.1f)', avg(c.value), min(c.value)) AS text
  FROM (SELECT DISTINCT position, label, run_key FROM results WHERE experiment_key = :experiment) r
  JOIN run_stages rs ON rs.run_key = r.run_key
  JOIN shown_attempts a ON a.stage_key = rs.stage_key
  JOIN curves c ON c.attempt = a.id
  WHERE c.series LIKE 'output\_snr\_db/%' ESCAPE '\'
  GROUP BY r.position, r.label, part) r
GROUP BY r.position, r.label
ORDER BY r.position;
