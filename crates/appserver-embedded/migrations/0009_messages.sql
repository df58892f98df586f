-- Voice messages, schedules, where devices' calls may end, and subscriptions whose events are posted to an address.

CREATE TABLE voice_messages (
    message_id   TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    time         INTEGER NOT NULL,
    caller       TEXT NOT NULL,             -- Caller as JSON
    duration     INTEGER NOT NULL,
    is_read      INTEGER NOT NULL,
    urgent       INTEGER NOT NULL,
    confidential INTEGER NOT NULL,
    media        TEXT NOT NULL              -- MediaKind as JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX voice_messages_by_user ON voice_messages (user_id, time, message_id);

CREATE TABLE voice_message_media (          -- apart, so that a list reads none of it
    message_id TEXT PRIMARY KEY REFERENCES voice_messages ON DELETE CASCADE,
    content    BLOB NOT NULL
) STRICT;

ALTER TABLE devices ADD COLUMN allow_termination INTEGER NOT NULL DEFAULT 1;

ALTER TABLE subscriptions ADD COLUMN http_contact TEXT;     -- where events are posted to, in place of a channel
