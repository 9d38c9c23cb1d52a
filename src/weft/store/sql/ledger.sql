-- What an owner writes. Every change of an attempt or a task touches exactly one row, or the transaction fails.

-- name: lease
-- The epoch that rules; compared once per transaction.
SELECT epoch FROM leases WHERE plan_key = ?;

-- name: lease_row
SELECT epoch, run, host, pid, boot, since FROM leases WHERE plan_key = ?;

-- name: take_lease
-- The first owner inserts epoch 1.
INSERT INTO leases (plan_key, epoch, run, host, pid, boot, since) VALUES (?, 1, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: raise_lease
-- Take-over by compare-and-set on the epoch that was read.
UPDATE leases SET epoch = epoch + 1, run = ?, host = ?, pid = ?, boot = ?, since = ? WHERE plan_key = ? AND epoch = ?;

-- name: add_plan
INSERT INTO plans (digest, names, snapshot) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: plan_digest
-- Of the plan that a run shows.
SELECT lower(hex(p.digest)) FROM runs r JOIN plans p ON p.number = r.plan WHERE r.number = ?;

-- name: keep_plan
INSERT OR REPLACE INTO kept_plans (key, plan, warnings) SELECT ?1, r.plan, ?2 FROM runs r WHERE r.number = ?3;

-- name: plan_number
SELECT number FROM plans WHERE digest = ?;

-- name: add_run
INSERT INTO runs (run, plan_key, plan_name, root, state, started, epoch, settings, tasks, selected, plan)
VALUES (?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?) RETURNING number;

-- name: own_run
UPDATE runs SET state = 'running', ended = NULL, exit_code = NULL, epoch = ? WHERE number = ?;

-- name: end_run
UPDATE runs SET state = ?, exit_code = ?, ended = ? WHERE number = ?;

-- name: change_plan
UPDATE runs SET plan = ?, tasks = ?, selected = ? WHERE number = ?;

-- name: left_open
-- Runs of a plan whose engine never said how they ended.
SELECT number, run, facts, epoch FROM runs WHERE plan_key = ? AND state = 'running' ORDER BY number;

-- name: add_facts
INSERT INTO facts (run, number, epoch, payload, crc) VALUES (?, ?, ?, ?, ?);

-- name: count_facts
UPDATE runs SET facts = ? WHERE number = ? AND facts = ?;

-- name: facts_of_run
SELECT number, epoch, payload, crc FROM facts WHERE run = ? ORDER BY number;

-- name: add_demand
INSERT INTO demands (run, number, body) VALUES (?, ?, ?);

-- name: demands
SELECT number, body FROM demands WHERE run = ?;

-- name: add_attempt
INSERT INTO attempts (run, task, instance, attempt, nonce, state, demand) VALUES (?, ?, ?, ?, ?, 0, ?);

-- name: begin_attempt
UPDATE attempts
SET state = 1, started = ?, out_file = ?, out_offset = ?, out_length = ?, err_file = ?, err_offset = ?, err_length = ?
WHERE run = ? AND task = ? AND instance = ? AND attempt = ? AND nonce = ? AND state = 0;

-- name: close_plain
-- An attempt that ended ok and left nothing to say.
UPDATE attempts SET state = 2
WHERE run = ? AND task = ? AND instance = ? AND attempt = ? AND nonce = ? AND state < 2;

-- name: close_attempt
-- An end without regions keeps those of the beginning: what was written then can still be read.
UPDATE attempts
SET state = ?, cause = ?, detail = ?, exit_code = ?, seconds = ?, cpu_seconds = ?, memory = ?,
    out_file = coalesce(?, out_file), out_offset = coalesce(?, out_offset), out_length = coalesce(?, out_length),
    err_file = coalesce(?, err_file), err_offset = coalesce(?, err_offset), err_length = coalesce(?, err_length),
    product = ?, retry = ?, flags = ?
WHERE run = ? AND task = ? AND instance = ? AND attempt = ? AND nonce = ? AND state < 2;

-- name: settle_plain
-- A task that ended without anything to say.
INSERT INTO tasks (run, task, state, attempts) VALUES (?, ?, ?, ?);

-- name: settle_task
INSERT INTO tasks (run, task, state, attempts, cause, detail, seconds, cpu_seconds, memory, fingerprint)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: settle_cached
-- A task that was up to date. More such rows are added behind: one statement for many costs half.
INSERT INTO tasks (run, task, state, attempts, cause, fingerprint) VALUES (?, ?, ?, ?, ?, ?);

-- name: reopen_task
DELETE FROM tasks WHERE run = ? AND task = ?;

-- name: reopen_items
-- Instances that did not end well are to be run again.
UPDATE items SET state = 0, cause = NULL, detail = NULL WHERE run = ? AND task = ? AND state <> 2;

-- name: forget_items
DELETE FROM items WHERE run = ? AND task = ?;

-- name: add_item
INSERT INTO items (run, task, instance, item, state) VALUES (?, ?, ?, ?, 0);

-- name: settle_instance
UPDATE items SET state = ?, cause = ?, detail = ? WHERE run = ? AND task = ? AND instance = ? AND state = 0;

-- name: set_reasons
INSERT INTO reasons (run, task, body) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET body = excluded.body;

-- name: set_offset
INSERT INTO offsets (run, file, offset) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET offset = excluded.offset;

-- name: add_result
INSERT OR REPLACE INTO results (plan_key, name, instance, fingerprint, run, body, plan) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: add_file
INSERT OR REPLACE INTO files (path, size, mtime_ns, inode, digest) VALUES (?, ?, ?, ?, ?);

-- name: add_begun
INSERT OR REPLACE INTO begun (run, task, instance, body) VALUES (?, ?, ?, ?);

-- name: end_begun
DELETE FROM begun WHERE run = ? AND task = ? AND instance = ?;

-- name: begun
-- Of units whose last attempt is open or ended well, and what instances share. Last: whether it ended well, and when.
SELECT b.task, b.instance, b.body, a.state = 2, a.started + a.seconds
FROM begun b LEFT JOIN attempts a ON a.run = b.run AND a.task = b.task AND a.instance = b.instance AND a.attempt = (
    SELECT max(m.attempt) FROM attempts m WHERE m.run = b.run AND m.task = b.task AND m.instance = b.instance)
WHERE b.run = ? AND (a.state <= 2 OR (a.state IS NULL AND b.instance = -1))
ORDER BY b.task, b.instance;

-- name: forget_begun
-- What attempts were begun with that ended otherwise; with the next one, it is looked at again.
DELETE FROM begun WHERE run = ?1 AND (task, instance) IN (
    SELECT b.task, b.instance FROM begun b JOIN attempts a ON a.run = b.run AND a.task = b.task AND a.instance = b.instance
    WHERE b.run = ?1 AND a.state > 2 AND a.attempt = (
        SELECT max(m.attempt) FROM attempts m WHERE m.run = b.run AND m.task = b.task AND m.instance = b.instance));

-- name: clear_begun
DELETE FROM begun WHERE run = ?;

-- name: unremembered
-- Runs of a plan whose engine died, with attempts that may have ended well and of which it is known what they were begun with.
SELECT DISTINCT r.run FROM begun b
JOIN runs r ON r.number = b.run
JOIN attempts a ON a.run = b.run AND a.task = b.task AND a.instance = b.instance
WHERE r.plan_key = ? AND r.state = 'running' AND a.state <= 2
ORDER BY r.number;

-- name: open_attempts
SELECT DISTINCT r.run FROM runs r JOIN attempts a ON a.run = r.number
WHERE r.plan_key = ? AND r.state = 'running' AND a.state < 2 ORDER BY r.number;
