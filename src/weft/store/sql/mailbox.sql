-- What other processes ask of an engine.

-- name: post
-- A request that is posted twice is one request.
INSERT INTO requests (id, run, kind, payload, posted) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: waiting
SELECT number, id, kind, payload, posted FROM requests WHERE run = ? AND settled IS NULL ORDER BY number;

-- name: settle
UPDATE requests SET settled = ? WHERE id = ? AND settled IS NULL;

-- name: withdraw
DELETE FROM requests WHERE id = ? AND settled IS NULL;

-- name: settle_run
-- What was asked of an engine that died is void for the next one, which somebody started on purpose.
UPDATE requests SET settled = ? WHERE run = ? AND settled IS NULL;
