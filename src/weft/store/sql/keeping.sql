-- What is kept for later runs, for who clears it.

-- name: kept_results
SELECT t.number, t.plan_key, t.name, t.instance, t.fingerprint, t.run, t.body, t.plan, r.started
FROM results t LEFT JOIN runs r ON r.run = t.run ORDER BY t.number;

-- name: plan_keys
SELECT plan_key FROM leases;

-- name: runs_by_age
SELECT number, run, plan_key, state, number = max(number) OVER (PARTITION BY plan_key) FROM runs ORDER BY number;

-- name: references_of_run
-- Products that may lie in a file; captured output that begins like one is told apart by whoever reads it.
SELECT product FROM attempts WHERE run = ? AND state = 2 AND product LIKE '@%';

-- name: forget_result
DELETE FROM results WHERE number = ?;
