-- What anybody may read while an owner writes.

-- name: runs
SELECT number, run, plan_key, plan_name, root, state, started, ended, exit_code, epoch, settings, tasks
FROM runs ORDER BY number;

-- name: runs_of_plan
SELECT number, run, plan_key, plan_name, root, state, started, ended, exit_code, epoch, settings, tasks
FROM runs WHERE plan_key = ? ORDER BY number;

-- name: run
SELECT number, run, plan_key, plan_name, root, state, started, ended, exit_code, epoch, settings, tasks
FROM runs WHERE run = ?;

-- name: run_by_number
SELECT number, run, plan_key, plan_name, root, state, started, ended, exit_code, epoch, settings, tasks
FROM runs WHERE number = ?;

-- name: names
SELECT p.names, r.selected FROM runs r JOIN plans p ON p.number = r.plan WHERE r.number = ?;

-- name: snapshot
SELECT p.digest, p.names, p.snapshot FROM runs r JOIN plans p ON p.number = r.plan WHERE r.run = ?;

-- name: settled
SELECT task, state, cause, detail, attempts, seconds, memory, cpu_seconds, fingerprint
FROM tasks WHERE run = ? ORDER BY task;

-- name: fingerprint
SELECT fingerprint FROM tasks WHERE run = ? AND task = ?;

-- name: unsettled
-- Tasks that have been tried and have not ended: highest attempt, whether one is open.
SELECT a.task, max(a.attempt), max(a.state < 2) FROM attempts a
WHERE a.run = ? AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.run = a.run AND t.task = a.task)
GROUP BY a.task;

-- name: instances
SELECT task, count(*) FROM items WHERE run = ? GROUP BY task;

-- name: attempts
SELECT a.task, a.instance, a.attempt, a.nonce, a.state, a.cause, a.detail, a.exit_code, a.started,
       a.seconds, a.cpu_seconds, a.memory, a.demand,
       a.out_file, a.out_offset, a.out_length, a.err_file, a.err_offset, a.err_length, a.product, a.retry, a.flags
FROM attempts a WHERE a.run = ? ORDER BY a.task, a.instance, a.attempt;

-- name: attempts_of_task
SELECT a.task, a.instance, a.attempt, a.nonce, a.state, a.cause, a.detail, a.exit_code, a.started,
       a.seconds, a.cpu_seconds, a.memory, a.demand,
       a.out_file, a.out_offset, a.out_length, a.err_file, a.err_offset, a.err_length, a.product, a.retry, a.flags
FROM attempts a WHERE a.run = ? AND a.task = ? ORDER BY a.instance, a.attempt;

-- name: live_attempts
SELECT a.task, a.instance, a.attempt, a.nonce, a.state, a.cause, a.detail, a.exit_code, a.started,
       a.seconds, a.cpu_seconds, a.memory, a.demand,
       a.out_file, a.out_offset, a.out_length, a.err_file, a.err_offset, a.err_length, a.product, a.retry, a.flags
FROM attempts a WHERE a.run = ? AND a.state < 2 ORDER BY a.task, a.instance, a.attempt;

-- name: items
SELECT task, item, state, cause FROM items WHERE run = ? ORDER BY task, instance;

-- name: items_of_task
SELECT task, item, state, cause FROM items WHERE run = ? AND task = ? ORDER BY instance;

-- name: reasons
SELECT body FROM reasons WHERE run = ? AND task = ?;

-- name: offsets
SELECT file, offset FROM offsets WHERE run = ? ORDER BY file;

-- name: kept_plan
SELECT p.digest, p.names, p.snapshot, k.warnings FROM kept_plans k JOIN plans p ON p.number = k.plan WHERE k.key = ?;

-- name: latest_results
-- max() makes the other columns those of the newest row of each group (sqlite.org/lang_select.html, bare columns).
SELECT plan_key, name, instance, fingerprint, run, body, plan FROM (
    SELECT plan_key, name, instance, fingerprint, run, body, plan, max(number) FROM results WHERE plan_key = ?
    GROUP BY name, instance
);

-- name: latest_results_of_task
SELECT plan_key, name, instance, fingerprint, run, body, plan FROM (
    SELECT plan_key, name, instance, fingerprint, run, body, plan, max(number) FROM results
    WHERE plan_key = ? AND name = ? GROUP BY instance
);

-- name: every_result
SELECT plan_key, name, instance, fingerprint, run, body, plan FROM results WHERE plan_key = ? ORDER BY number;

-- name: result_by_fingerprint
SELECT plan_key, name, instance, fingerprint, run, body, plan FROM results
WHERE fingerprint = ?1 AND (?2 IS NULL OR plan_key = ?2) ORDER BY number DESC LIMIT 1;

-- name: file
SELECT path, size, mtime_ns, inode, digest FROM files WHERE path = ?;

-- name: files
SELECT path, size, mtime_ns, inode, digest FROM files ORDER BY path;

-- name: products
-- What good attempts handed on, or where their output lies; of an instance the last one stands last.
SELECT task, instance, product, out_file, out_offset, out_length FROM attempts
WHERE run = ?1 AND state = 2 AND (?2 IS NULL OR task = ?2) ORDER BY task, instance, attempt;

-- name: last_product
-- How a task of a plan or of its family (the beginning of a key), by its name, last ended well in a run other than this: its
-- product, or where its output lies.
SELECT r.run, a.product, a.out_file, a.out_offset, a.out_length
FROM runs r
JOIN plans p ON p.number = r.plan
JOIN json_each(p.names) n ON CAST(n.value AS BLOB) = ?2
JOIN attempts a ON a.run = r.number AND a.task = n.key AND a.instance = -1 AND a.state = 2
WHERE (r.plan_key = ?1 OR (?4 <> '' AND substr(r.plan_key, 1, length(?4)) = ?4)) AND r.run IS NOT ?3
ORDER BY r.number DESC, a.attempt DESC LIMIT 1;

-- name: episodes
-- How a task of a plan, by its name, fared in each run, newest first.
SELECT r.run, r.started, t.state, t.cause, t.attempts, t.seconds, t.memory
FROM runs r
JOIN plans p ON p.number = r.plan
JOIN json_each(p.names) n ON CAST(n.value AS BLOB) = ?2
LEFT JOIN tasks t ON t.run = r.number AND t.task = n.key
WHERE r.plan_key = ?1
ORDER BY r.number DESC LIMIT ?3;
