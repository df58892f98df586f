-- The embedded application server. Times are milliseconds since 1970; ids compare as stored (user ids in lower case).

CREATE TABLE facts (                      -- single values of the whole server
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE providers (
    provider      TEXT PRIMARY KEY,
    is_enterprise INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
    provider   TEXT NOT NULL REFERENCES providers,
    group_id   TEXT NOT NULL,
    PRIMARY KEY (provider, group_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    user_id      TEXT PRIMARY KEY,
    provider     TEXT NOT NULL,
    group_id     TEXT NOT NULL,
    first_name   TEXT NOT NULL,
    last_name    TEXT NOT NULL,
    number       TEXT UNIQUE,             -- E.164 with +
    extension    TEXT,
    country_code TEXT NOT NULL,
    mobile       TEXT,
    email        TEXT,
    title        TEXT,
    department   TEXT,
    time_zone    TEXT,
    line_port    TEXT NOT NULL,           -- address of record of the primary line
    off_hook     INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (provider, group_id) REFERENCES groups,
    UNIQUE (provider, group_id, extension)
) STRICT, WITHOUT ROWID;
CREATE INDEX users_by_extension ON users (provider, extension);
CREATE INDEX users_by_line_port ON users (line_port);
CREATE INDEX users_by_name ON users (provider, last_name, first_name, user_id);

CREATE TABLE admins (
    user_id  TEXT PRIMARY KEY,
    level    TEXT NOT NULL                -- AdminLevel as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    user_id               TEXT PRIMARY KEY,
    phc                   TEXT NOT NULL,  -- argon2id
    version               INTEGER NOT NULL,
    expires_at            INTEGER,
    failures              INTEGER NOT NULL DEFAULT 0,
    locked_until          INTEGER,
    tokens_revoked_before INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sequences (                  -- last number among a subscriber's own events
    subscriber TEXT PRIMARY KEY,
    last       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE feed (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    sequence   INTEGER NOT NULL,
    subscriber TEXT NOT NULL,
    provider   TEXT NOT NULL,
    group_id   TEXT NOT NULL,
    time       INTEGER NOT NULL,
    request_id TEXT,
    event      TEXT NOT NULL              -- Event as JSON
) STRICT;
CREATE INDEX feed_by_time ON feed (time);

CREATE TABLE services (
    user_id  TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    kind     TEXT NOT NULL,
    settings TEXT NOT NULL,               -- Service as JSON
    PRIMARY KEY (user_id, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (                      -- what joins the halves of one call, through forwarding and transfer
    link        INTEGER PRIMARY KEY AUTOINCREMENT,
    next_half   INTEGER NOT NULL
) STRICT;

CREATE TABLE halves (
    half_id  TEXT PRIMARY KEY,
    link     INTEGER NOT NULL,
    user_id  TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    released INTEGER NOT NULL,
    purge_at INTEGER,                     -- when a released half is forgotten
    half     TEXT NOT NULL                -- engine::Half as JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX halves_by_user ON halves (user_id, released);
CREATE INDEX halves_by_link ON halves (link, released);
CREATE INDEX halves_by_purge ON halves (purge_at) WHERE purge_at IS NOT NULL;

CREATE TABLE timers (                     -- no-answer timers; the process that deletes the row in time does the work
    half_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    due_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_by_due ON timers (due_at);

CREATE TABLE call_logs (
    entry   INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    kind    TEXT NOT NULL,
    time    INTEGER NOT NULL,
    log     TEXT NOT NULL                 -- number, name and id as JSON
) STRICT;
CREATE INDEX call_logs_by_user ON call_logs (user_id, kind, time, entry);

CREATE TABLE device_types (
    device_type TEXT PRIMARY KEY,
    uri         TEXT NOT NULL UNIQUE      -- folder below the DMS context, ends in /
) STRICT, WITHOUT ROWID;

CREATE TABLE device_files (
    device_type  TEXT NOT NULL REFERENCES device_types,
    file_format  TEXT NOT NULL,
    template     TEXT NOT NULL,
    confidential INTEGER NOT NULL,
    PRIMARY KEY (device_type, file_format)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    device_id    INTEGER PRIMARY KEY,
    level        TEXT NOT NULL,
    provider     TEXT NOT NULL,
    group_id     TEXT NOT NULL,
    name         TEXT NOT NULL,
    device_type  TEXT NOT NULL REFERENCES device_types,
    user_id      TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    line_port    TEXT NOT NULL,
    mac          TEXT,
    user_name    TEXT NOT NULL UNIQUE,
    password     BLOB NOT NULL,           -- sealed with the machine key
    sip_user     TEXT NOT NULL,
    sip_password BLOB NOT NULL,           -- sealed with the machine key
    UNIQUE (provider, group_id, name)
) STRICT;
CREATE INDEX devices_by_user ON devices (user_id);

CREATE TABLE tags (
    scope       TEXT NOT NULL,            -- system, provider, group, device
    owner       TEXT NOT NULL,            -- '', JSON of the ids, device id
    device_type TEXT NOT NULL,            -- '' for all
    tag         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (scope, owner, device_type, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE builds (                     -- when the content of a device's file last changed
    device_id   INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,
    file_format TEXT NOT NULL,
    digest      BLOB NOT NULL,
    built_at    INTEGER NOT NULL,
    PRIMARY KEY (device_id, file_format)
) STRICT, WITHOUT ROWID;

CREATE TABLE push_registrations (
    user_id         TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    registration_id TEXT NOT NULL,
    registered_at   INTEGER NOT NULL,
    registration    TEXT NOT NULL,        -- PushRegistration as JSON
    PRIMARY KEY (user_id, registration_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (                     -- notifications to the push server that are still to be delivered
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    notification_id TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    registration_id TEXT NOT NULL,
    call_id         TEXT NOT NULL,
    seq             INTEGER NOT NULL,
    body            TEXT NOT NULL,        -- what is posted
    expires_at      INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    lease_until     INTEGER NOT NULL DEFAULT 0,
    UNIQUE (registration_id, call_id, seq, user_id)
) STRICT;
CREATE INDEX outbox_by_attempt ON outbox (next_attempt_at);

CREATE TABLE processes (
    process     TEXT PRIMARY KEY,
    alive_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE channels (
    channel_id     TEXT PRIMARY KEY,
    channel_set_id TEXT NOT NULL,
    owner          TEXT NOT NULL,         -- Owner as JSON
    application_id TEXT,
    priority       INTEGER NOT NULL,
    weight         INTEGER NOT NULL,
    expires_at     INTEGER,
    process        TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX channels_by_owner ON channels (owner, application_id);
CREATE INDEX channels_by_process ON channels (process);

CREATE TABLE subscriptions (
    subscription_id   TEXT PRIMARY KEY,
    owner             TEXT NOT NULL,      -- Owner as JSON
    target            TEXT NOT NULL,      -- SubscriptionTarget as JSON
    package           TEXT NOT NULL,
    channel_set_id    TEXT NOT NULL,
    application_id    TEXT NOT NULL,      -- '' for none, so that the rule of replacement is one index
    expires_at        INTEGER,
    sequence_reserved INTEGER NOT NULL,
    UNIQUE (owner, target, package, application_id)
) STRICT, WITHOUT ROWID;
