-- Everybody has every service as it is at first, unless a row says otherwise; before, every service had a row.

ALTER TABLE services ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;   -- taken away: the settings do not count
INSERT INTO services (user_id, kind, settings, taken)
SELECT u.user_id, k.kind, '{}', 1 FROM users u, (
    SELECT 'Anonymous Call Rejection' AS kind UNION SELECT 'Call Forwarding Always' UNION SELECT 'Call Forwarding Busy'
    UNION SELECT 'Call Forwarding No Answer' UNION SELECT 'Call Waiting' UNION SELECT 'Calling Line ID Blocking Override'
    UNION SELECT 'Calling Line ID Delivery Blocking' UNION SELECT 'Do Not Disturb' UNION SELECT 'Speed Dial 100'
    UNION SELECT 'Speed Dial 8') k
WHERE NOT EXISTS (SELECT 1 FROM services s WHERE s.user_id = u.user_id AND s.kind = k.kind);

-- Calls that wait to be retrieved: one against each subscriber.
CREATE TABLE parked (
    user_id TEXT PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    half_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Calls that ring and may be taken by others of the group.
ALTER TABLE timers ADD COLUMN pickup TEXT;                          -- provider and group as JSON, for a half that rings
CREATE INDEX timers_by_user ON timers (user_id) WHERE pickup IS NOT NULL;
CREATE INDEX timers_by_group ON timers (pickup, due_at) WHERE pickup IS NOT NULL;
