-- The database of results. Its application id is 0x41415148 ("AAQH"), its user_version the schema version
-- (harness/store/result_store.cc checks both before anything else).
--
-- Keys are SHA-256 digests (64 hexadecimal digits) of what a row stands for, and an attempt's id is the first
-- 63 bits of one. So two databases merge with INSERT OR IGNORE, and items of different runs pair.
-- Times are ISO 8601, UTC, with microseconds: they sort as text. Where a machine's clock has gone back, a time is
-- a microsecond after the latest one stored, so that the order stays that of events.
--
-- Results belong to an attempt, not to a stage. A stage that succeeds twice keeps both attempts with all they
-- measured; views show the latest that succeeded, and the view `disagreements` lists stages whose attempts
-- measured different values (same key, so they should not).

-- One experiment file, as it was run (a changed file, or another --set, is another experiment).
CREATE TABLE experiments (
  key        TEXT PRIMARY KEY,  -- of canonical
  name       TEXT NOT NULL,     -- versions of one experiment share it
  toml       TEXT NOT NULL,     -- the file as first written
  canonical  TEXT NOT NULL,     -- with defaults, as it is hashed
  created_at TEXT NOT NULL,
  used_at    TEXT NOT NULL      -- when it was last started; a name means the version used last
) STRICT;
CREATE INDEX experiments_by_name ON experiments (name, used_at);

-- What determines a run's numbers: configuration, model, data, code. Experiments may share runs.
CREATE TABLE runs (
  key       TEXT PRIMARY KEY,
  canonical TEXT NOT NULL,
  scheme    TEXT NOT NULL,     -- how the checkpoint stores its weights: "bf16", "Q4_1 checkpoint, dequantized"
  format    TEXT NOT NULL,     -- the numeric format: "w4a16"
  methods   TEXT NOT NULL,     -- "aaq + gptq"
  seed      INTEGER NOT NULL
) STRICT;

-- The rows of an experiment. The same place gets another run when code or data changed since: both stay, and
-- the one used last is current.
CREATE TABLE experiment_runs (
  experiment_key TEXT NOT NULL REFERENCES experiments,
  position       INTEGER NOT NULL,  -- in the file, from 0
  run_key        TEXT NOT NULL REFERENCES runs,
  label          TEXT NOT NULL,     -- runs that differ in the seed alone share it
  model          TEXT NOT NULL,     -- as the file calls it
  used_at        TEXT NOT NULL,
  PRIMARY KEY (experiment_key, position, run_key)
) STRICT, WITHOUT ROWID;

-- One step of work: train, load, method or eval, addressed by everything that can change its result.
CREATE TABLE stages (
  key        TEXT PRIMARY KEY,
  kind       TEXT NOT NULL CHECK (kind IN ('train', 'load', 'method', 'eval')),
  name       TEXT NOT NULL,         -- of the plugin; a load's checkpoint format, a train's phase
  protocol   TEXT NOT NULL,         -- of an eval, versioned: "wikitext2-test/concat-2048/1"; else empty
  canonical  TEXT NOT NULL,
  parent_key TEXT REFERENCES stages -- the stage it starts from; NULL for a first
) STRICT;

CREATE TABLE run_stages (
  run_key   TEXT NOT NULL REFERENCES runs,
  position  INTEGER NOT NULL,
  stage_key TEXT NOT NULL REFERENCES stages,
  PRIMARY KEY (run_key, position, stage_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_stages_by_stage ON run_stages (stage_key);

-- One try at a stage. `running` with a process that is gone means that it was killed: host, pid and process
-- (boot, pid namespace and start tick, see process.h) let a reader on the same machine tell.
CREATE TABLE attempts (
  id                INTEGER PRIMARY KEY,
  stage_key         TEXT NOT NULL REFERENCES stages,
  run_key           TEXT NOT NULL REFERENCES runs,  -- the run it was made for
  status            TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'interrupted')),
  message           TEXT NOT NULL,  -- of a failure; else empty
  started_at        TEXT NOT NULL,
  ended_at          TEXT,           -- NULL while running
  wall_seconds      REAL,
  cpu_seconds       REAL,           -- of all threads
  peak_memory_bytes INTEGER,        -- resident, of the process
  host              TEXT,
  pid               INTEGER,
  process           TEXT
) STRICT;
CREATE INDEX attempts_by_stage ON attempts (stage_key, status);
CREATE INDEX attempts_by_run ON attempts (run_key);

-- Under which conditions an attempt was made: commit, versions, device, threads, digests. One row a key.
CREATE TABLE provenance (
  attempt INTEGER NOT NULL REFERENCES attempts,
  key     TEXT NOT NULL,
  value   TEXT NOT NULL,
  PRIMARY KEY (attempt, key)
) STRICT, WITHOUT ROWID;

-- SQLite turns NaN into NULL, so numbers that are not finite are NULL and say what they are in `status`.
CREATE TABLE metrics (
  attempt        INTEGER NOT NULL REFERENCES attempts,
  name           TEXT NOT NULL,
  position       INTEGER NOT NULL,  -- as the eval reports them
  value          REAL,
  status         TEXT NOT NULL CHECK (status IN ('finite', 'nan', 'inf', '-inf')),
  standard_error REAL,              -- of value; NULL: unknown
  count          INTEGER NOT NULL,  -- items behind it
  PRIMARY KEY (attempt, name),
  CHECK ((status = 'finite') = (value IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- One scored item (a window, a question). To pair two attempts join on (id, repeat).
CREATE TABLE items (
  attempt  INTEGER NOT NULL REFERENCES attempts,
  id       TEXT NOT NULL,     -- the data set's own id or the item's digest
  repeat   INTEGER NOT NULL,  -- 0; 1, 2, ... where the data repeats an item
  position INTEGER NOT NULL,
  score    REAL,              -- what the metric averages
  status   TEXT NOT NULL CHECK (status IN ('finite', 'nan', 'inf', '-inf')),
  cluster  TEXT NOT NULL,     -- items that depend on each other share it; empty: none
  detail   TEXT NOT NULL,     -- JSON object; no text of the data set
  PRIMARY KEY (attempt, id, repeat),
  CHECK ((status = 'finite') = (score IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- A number that is followed over a loop: loss over steps.
CREATE TABLE curves (
  attempt INTEGER NOT NULL REFERENCES attempts,
  series  TEXT NOT NULL,      -- "train loss"
  step    INTEGER NOT NULL,
  value   REAL,
  status  TEXT NOT NULL CHECK (status IN ('finite', 'nan', 'inf', '-inf')),
  PRIMARY KEY (attempt, series, step),
  CHECK ((status = 'finite') = (value IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Since schema 3. result_store.cc makes what follows in older databases by running it.

-- What a model wrote for an item, by digest. One answer may be that of many models.
CREATE TABLE completions (
  attempt INTEGER NOT NULL REFERENCES attempts,
  id      TEXT NOT NULL,     -- of the item, as is repeat
  repeat  INTEGER NOT NULL,
  sample  INTEGER NOT NULL,  -- 0 where the answer is greedy
  answer  TEXT NOT NULL,     -- SHA-256 of the prompt, a zero byte and the text
  ending  TEXT NOT NULL CHECK (ending IN ('stop', 'length', 'full')),
  tokens  INTEGER NOT NULL,
  PRIMARY KEY (attempt, id, repeat, sample)
) STRICT, WITHOUT ROWID;
CREATE INDEX completions_by_answer ON completions (answer);

-- The texts themselves. They may be harmful, so they stay in this file: dumps leave this table out.
CREATE TABLE answers (
  digest TEXT PRIMARY KEY,
  prompt TEXT NOT NULL,  -- as the data set has it
  text   TEXT NOT NULL   -- the model's whole turn
) STRICT, WITHOUT ROWID;

-- What scorers and people say of answers.
CREATE TABLE verdicts (
  answer   TEXT NOT NULL,  -- its digest
  scorer   TEXT NOT NULL,  -- versioned: "gcg-list/1", "llama-guard-3/1@1a2b3c4d", "human:NAME"
  complied INTEGER CHECK (complied IN (0, 1)),  -- whether it does what was asked; NULL: cannot tell
  PRIMARY KEY (answer, scorer)
) STRICT, WITHOUT ROWID;
