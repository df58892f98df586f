-- Call centres: users whose calls wait for agents.

CREATE TABLE call_centers (
    user_id  TEXT PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    settings TEXT NOT NULL                  -- engine::Center as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    call_center TEXT NOT NULL REFERENCES call_centers ON DELETE CASCADE,
    user_id     TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    joined      INTEGER NOT NULL,
    PRIMARY KEY (call_center, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX agents_by_user ON agents (user_id);

CREATE TABLE agent_states (
    user_id    TEXT PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    status     TEXT NOT NULL,               -- AgentStatus as JSON
    free_since INTEGER                      -- available, and without a call of a queue
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_states_free ON agent_states (free_since) WHERE free_since IS NOT NULL;

CREATE TABLE queue (                        -- callers who wait, or ring at an agent
    half_id     TEXT PRIMARY KEY,
    call_center TEXT NOT NULL REFERENCES call_centers ON DELETE CASCADE,
    added_at    INTEGER NOT NULL,
    offered     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_by_center ON queue (call_center, offered, added_at, half_id);

CREATE TABLE unavailable_codes (
    provider    TEXT NOT NULL REFERENCES providers ON DELETE CASCADE,
    code        TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (provider, code)
) STRICT, WITHOUT ROWID;
