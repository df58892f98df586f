-- Other ways to sign in than a user id and its web password.

CREATE TABLE alternate_ids (                -- what somebody may type in place of the user id, in lower case
    alternate TEXT PRIMARY KEY,
    user_id   TEXT NOT NULL REFERENCES credentials ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX alternate_ids_by_user ON alternate_ids (user_id);

CREATE TABLE login_tokens (                 -- single-use tokens
    digest     BLOB PRIMARY KEY,            -- SHA-256
    user_id    TEXT NOT NULL REFERENCES credentials ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used       INTEGER NOT NULL             -- how often it was brought
) STRICT, WITHOUT ROWID;
CREATE INDEX login_tokens_by_user ON login_tokens (user_id, used, expires_at);
CREATE INDEX login_tokens_by_time ON login_tokens (expires_at);
