-- The state of every run below one folder. `facts` is the truth and only grows; the tables behind it show what the facts
-- say and can be made again from them (`verify.py`). Integers instead of words, WITHOUT ROWID and NULL for "nothing"
-- keep a task below 400 bytes. Run and plan identities are short integers inside; ids stand in `runs` only.

-- name: schema

-- One row per run. number: identity inside this file. facts: how many fact rows it has (a missing last one is noticed).
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    plan_key TEXT NOT NULL,
    plan_name,
    root NOT NULL,
    state TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    exit_code INTEGER,
    epoch INTEGER NOT NULL,
    settings TEXT NOT NULL,
    tasks INTEGER NOT NULL,
    selected TEXT,
    plan INTEGER NOT NULL REFERENCES plans (number),
    facts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX runs_by_plan ON runs (plan_key, number);

-- Plans as they were recorded, each content once. digest: blake2b of names and snapshot. names: JSON list in plan order.
CREATE TABLE plans (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    names TEXT NOT NULL,
    snapshot BLOB NOT NULL
);

-- Plans by what they were read from: digest of all documents and of how they were read. warnings: JSON records.
CREATE TABLE kept_plans (
    key BLOB PRIMARY KEY,
    plan INTEGER NOT NULL REFERENCES plans (number),
    warnings TEXT NOT NULL
) WITHOUT ROWID;

-- One row per commit: the facts of that transaction (codec.py), as text or deflated. number: from 1 without gaps inside
-- its run. crc: of number, epoch and payload.
CREATE TABLE facts (
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    payload NOT NULL,
    crc INTEGER NOT NULL,
    UNIQUE (run, number)
);

-- What attempts asked for, each content once per run.
CREATE TABLE demands (
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;

-- Tasks that have ended. One without a row is pending, or running while it has an open attempt.
CREATE TABLE tasks (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    cause,
    detail,
    seconds REAL,
    cpu_seconds REAL,
    memory INTEGER,
    fingerprint,
    PRIMARY KEY (run, task)
) WITHOUT ROWID;

-- Attempts, from their intent on. state: 0 queued, 1 running, else ended. flags: 1 not charged, 2 next one alone.
CREATE TABLE attempts (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    state INTEGER NOT NULL,
    demand INTEGER NOT NULL,
    started REAL,
    exit_code INTEGER,
    cause,
    detail,
    seconds REAL,
    cpu_seconds REAL,
    memory INTEGER,
    out_file, out_offset INTEGER, out_length INTEGER,
    err_file, err_offset INTEGER, err_length INTEGER,
    product,
    retry,
    flags INTEGER,
    PRIMARY KEY (run, task, instance, attempt)
) WITHOUT ROWID;

-- Items of mapped tasks, and how each instance ended.
CREATE TABLE items (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    item NOT NULL,
    state INTEGER NOT NULL,
    cause,
    detail,
    PRIMARY KEY (run, task, instance)
) WITHOUT ROWID;

-- Why a task had to run, or need not. body: JSON list of reasons.
CREATE TABLE reasons (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, task)
) WITHOUT ROWID;

-- What attempts that have not ended, or whose work is not remembered yet, were begun with. No fact says it: what is lost here
-- is a task that runs once more. instance: -1 also for what instances share. body: JSON [parts, own, fingerprint].
CREATE TABLE begun (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, task, instance)
) WITHOUT ROWID;

-- How far each receipts file has been counted.
CREATE TABLE offsets (
    run INTEGER NOT NULL,
    file NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (run, file)
) WITHOUT ROWID;

-- Finished work that may stand in for a task, newest `number` last. body: JSON [parts, outputs, product, held?].
CREATE TABLE results (
    number INTEGER PRIMARY KEY,
    plan_key TEXT NOT NULL,
    name NOT NULL,
    instance NOT NULL,
    fingerprint NOT NULL,
    run TEXT NOT NULL,
    body TEXT NOT NULL,
    plan NOT NULL,
    UNIQUE (plan_key, name, instance, fingerprint)
);
CREATE INDEX results_by_fingerprint ON results (fingerprint);

-- Digests of files that were read once.
CREATE TABLE files (
    path NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    digest NOT NULL
) WITHOUT ROWID;

-- Who owns a plan, or owned it last; epoch grows with each owner.
CREATE TABLE leases (
    plan_key TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    run TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    boot TEXT NOT NULL,
    since REAL NOT NULL
) WITHOUT ROWID;

-- What other processes ask of a run's engine. id: given by who asks; counts once. settled: when it was dealt with.
CREATE TABLE requests (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    posted REAL NOT NULL,
    settled REAL
);
CREATE INDEX requests_waiting ON requests (run) WHERE settled IS NULL;
