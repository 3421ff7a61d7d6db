-- What activations.sql has by layer, over the layers of the experiment :experiment (its key): by place and run, the mean, and
-- the worst layer's in parentheses; no SNR where nothing is quantized.
SELECT site AS place, run,
  printf('%.1f (%.0f)', avg(kurtosis), max(kurtosis)) AS kurtosis,
  printf('%.0f (%.0f)', avg(max_over_median), max(max_over_median)) AS "max over median",
  iif(avg(snr_db) IS NULL, '–', printf('%.1f (%.1f)', avg(snr_db), min(snr_db))) AS "SNR, dB"
FROM (
  SELECT r.position, r.label AS run, json_extract(i.detail, '$.site') AS site,
    json_extract(i.detail, '$.kurtosis') AS kurtosis, json_extract(i.detail, '$.max_over_median') AS max_over_median,
    json_extract(i.detail, '$.snr_db') AS snr_db
  FROM (SELECT DISTINCT position, label, attempt FROM results
        WHERE eval = 'activations' AND experiment_key = :experiment) r
  JOIN items i ON i.attempt = r.attempt)
GROUP BY site, run
ORDER BY site, min(position);
