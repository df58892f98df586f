-- Whose events a subscription gets, and changes of a call that wait for their time.

ALTER TABLE subscriptions ADD COLUMN call_control TEXT NOT NULL DEFAULT 'com.broadsoft.xsi-events';

CREATE TABLE late_actions (                 -- the last one that was asked for counts
    half_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    due_at  INTEGER NOT NULL,
    action  TEXT NOT NULL                   -- hold, reconnect, talk
) STRICT, WITHOUT ROWID;
CREATE INDEX late_actions_by_due ON late_actions (due_at);
