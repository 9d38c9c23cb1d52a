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

-- name: asked
-- Also what an engine has dealt with.
SELECT payload FROM requests WHERE run = ? AND kind = ? AND posted >= ? ORDER BY number;

-- name: names
SELECT p.names, r.selected FROM runs r JOIN plans p ON p.number = r.plan WHERE r.number = ?;

-- name: snapshot
SELECT p.digest, p.names, p.snapshot FROM runs r JOIN plans p ON p.number = r.plan WHERE r.run = ?;

-- name: settled
SELECT task, state, cause, detail, attempts, seconds, memory, cpu_seconds, fingerprint
FROM tasks WHERE run = ? ORDER BY task;

-- name: settled_task
SELECT task, state, cause, detail, attempts, seconds, memory, cpu_seconds, fingerprint
FROM tasks WHERE run = ? AND task = ?;

-- name: fingerprint
SELECT fingerprint FROM tasks WHERE run = ? AND task = ?;

-- name: unsettled
-- Tasks that have been tried and have not ended: attempts but those that were taken back before they began, whether one is open.
-- ?2: those that have not ended.
SELECT a.task, count(*) - sum(a.state > 3 AND a.started IS NULL), max(a.state < 2) FROM attempts a
WHERE a.run = ?1 AND a.task IN (SELECT value FROM json_each(?2))
GROUP BY a.task;

-- name: unsettled_task
SELECT count(*) - sum(state > 3 AND started IS NULL), max(state < 2) FROM attempts
WHERE run = ? AND task = ? HAVING count(*) > 0;

-- name: instances
SELECT task, count(*) FROM items WHERE run = ? GROUP BY task;

-- name: instances_of_task
SELECT count(*) FROM items WHERE run = ? AND task = ?;

-- name: attempts
SELECT a.task, a.instance, a.attempt, a.nonce, a.state, a.cause, a.detail, a.exit_code, a.started,
       a.seconds, a.cpu_seconds, a.memory, a.demand,
       a.out_file, a.out_offset, a.out_length, a.err_file, a.err_offset, a.err_length, a.product, a.retry, a.flags
FROM attempts a WHERE a.run = ? ORDER BY a.task, a.instance, a.attempt;

-- name: tasks_by_nonce
SELECT nonce, task FROM attempts WHERE run = ?;

-- name: attempts_of_task
SELECT a.task, a.instance, a.attempt, a.nonce, a.state, a.cause, a.detail, a.exit_code, a.started,
       a.seconds, a.cpu_seconds, a.memory, a.demand,
       a.out_file, a.out_offset, a.out_length, a.err_file, a.err_offset, a.err_length, a.product, a.retry, a.flags
FROM attempts a WHERE a.run = ? AND a.task = ? ORDER BY a.instance, a.attempt;

-- name: attempts_left
-- Of tasks that are not ok (?2): what a resume has to know of when nothing that is ok runs again.
SELECT a.task, a.instance, a.attempt, a.nonce, a.state, a.cause, a.detail, a.exit_code, a.started,
       a.seconds, a.cpu_seconds, a.memory, a.demand,
       a.out_file, a.out_offset, a.out_length, a.err_file, a.err_offset, a.err_length, a.product, a.retry, a.flags
FROM attempts a WHERE a.run = ?1 AND a.task IN (SELECT value FROM json_each(?2))
ORDER BY a.task, a.instance, a.attempt;

-- name: latest_failures
-- The last failed or lost attempt of each task that is not ok; the latest ends first.
SELECT a.task, a.instance, a.attempt, a.nonce, a.state, a.cause, a.detail, a.exit_code, a.started,
       a.seconds, a.cpu_seconds, a.memory, a.demand,
       a.out_file, a.out_offset, a.out_length, a.err_file, a.err_offset, a.err_length, a.product, a.retry, a.flags
FROM attempts a
JOIN (SELECT task, max(attempt) AS attempt FROM attempts WHERE run = ?1 AND state IN (3, 5) GROUP BY task) l
ON l.task = a.task AND l.attempt = a.attempt
WHERE a.run = ?1 AND a.state IN (3, 5)
AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.run = ?1 AND t.task = a.task AND t.state = 2)
GROUP BY a.task
ORDER BY coalesce(a.started, 0) + coalesce(a.seconds, 0) DESC, a.task DESC LIMIT ?2;

-- name: ended_counts
SELECT state, count(*) FROM tasks WHERE run = ? GROUP BY state;

-- name: any_attempt
SELECT EXISTS (SELECT 1 FROM attempts WHERE run = ?);

-- name: owner
SELECT host, pid, since, run FROM leases WHERE plan_key = ?;

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

-- name: is_kept
-- Whether a run shows the plan that documents with this digest gave.
SELECT EXISTS (SELECT 1 FROM kept_plans k JOIN runs r ON r.plan = k.plan WHERE k.key = ? AND r.number = ?);

-- name: latest_results
-- The newest of each task and item are found in an index alone, and then read in the order in which they lie.
SELECT plan_key, name, instance, fingerprint, run, body, plan FROM results
WHERE number IN (SELECT max(number) FROM results WHERE plan_key = ? GROUP BY name, instance);

-- name: state_of_results
-- What changes whenever finished work is recorded or forgotten: how much there is, and which is the newest.
SELECT s.highest, s.total, r.run, CAST(r.name AS BLOB), CAST(r.instance AS BLOB), hex(r.fingerprint)
FROM (SELECT max(number) AS highest, count(*) AS total FROM results WHERE plan_key = ?) s
JOIN results r ON r.number = s.highest;

-- name: latest_results_of_task
-- max() makes the other columns those of the newest row of each group (sqlite.org/lang_select.html, bare columns).
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
SELECT path, size, mtime_ns, inode, iif(typeof(digest) = 'blob', lower(hex(digest)), digest) FROM files WHERE path = ?;

-- name: files
-- What `file` gives, of all.
SELECT path, size, mtime_ns, inode, iif(typeof(digest) = 'blob', lower(hex(digest)), digest) FROM files ORDER BY path;

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
-- How a task of a plan, by its name, fared in each run that it took part in, newest first.
SELECT r.run, r.started, t.state, t.cause, t.attempts, t.seconds, t.memory
FROM runs r
JOIN plans p ON p.number = r.plan
JOIN json_each(p.names) n ON CAST(n.value AS BLOB) = ?2
LEFT JOIN tasks t ON t.run = r.number AND t.task = n.key
WHERE r.plan_key = ?1
  AND (
    r.selected IS NULL
    OR EXISTS (
      SELECT 1 FROM json_each(r.selected) s
      WHERE n.key - json_extract(s.value, '$[0]') BETWEEN 0 AND json_extract(s.value, '$[1]') - 1
    )
  )
ORDER BY r.number DESC LIMIT ?3;

-- name: runs_of_key
-- Latest runs of a plan, with the plan as each of them shows it.
SELECT number, plan FROM runs WHERE plan_key = ?1 ORDER BY number DESC LIMIT ?2;

-- name: runs_of_others
SELECT number, plan FROM runs WHERE plan_key <> ?1 AND tasks <= ?2 ORDER BY number DESC LIMIT ?3;

-- name: measured
-- What tasks took that really ran and ended well.
SELECT task, seconds, memory FROM tasks WHERE run = ?1 AND state = 2 AND cause IS NULL AND seconds >= ?2;

-- name: recorded_plan
SELECT names, snapshot FROM plans WHERE number = ?;
