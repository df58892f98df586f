-- Directories: what they are searched and sorted by, phone lists, and directories that an administrator makes up.

CREATE INDEX users_by_group_name ON users (provider, group_id, last_name, first_name, user_id);

CREATE TABLE places (                       -- a number for each service provider or enterprise
    place    INTEGER PRIMARY KEY,
    provider TEXT NOT NULL UNIQUE REFERENCES providers ON DELETE CASCADE
) STRICT;

CREATE TABLE directory (                    -- values are folded to lower case, numbers are digits, unless said otherwise
    entry        INTEGER PRIMARY KEY,       -- place << 40 | number in it, so that one place's entries lie together
    user_id      TEXT NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
    place        INTEGER NOT NULL REFERENCES places,
    group_id     TEXT NOT NULL,             -- as it is
    shown_last   TEXT NOT NULL,             -- as it is
    shown_first  TEXT NOT NULL,             -- as it is
    last_name    TEXT NOT NULL,
    first_name   TEXT NOT NULL,
    group_folded TEXT NOT NULL,
    number       TEXT,
    extension    TEXT,
    mobile       TEXT,
    email        TEXT,
    department   TEXT,
    title        TEXT
) STRICT;
CREATE INDEX directory_by_last ON directory (place, last_name, first_name, user_id);
CREATE INDEX directory_by_first ON directory (place, first_name, last_name, user_id);
CREATE INDEX directory_by_group ON directory (place, group_id);
CREATE INDEX directory_by_user ON directory (place, user_id);
CREATE INDEX directory_by_number ON directory (place, number);
CREATE INDEX directory_by_extension ON directory (place, extension);
CREATE INDEX directory_by_email ON directory (place, email);
CREATE INDEX directory_by_department ON directory (place, department);

-- Three characters in a row, of each value: what is searched with a wildcard in front.
CREATE VIRTUAL TABLE directory_words USING fts5 (
    name, user_id, group_id, phone, email, department, title,
    content = '', contentless_delete = 1, detail = column, tokenize = "trigram case_sensitive 1"
);

CREATE TABLE directory_counts (             -- how many there are, so that nobody has to count them
    place    INTEGER NOT NULL,
    group_id TEXT NOT NULL,                 -- '' for all groups
    entries  INTEGER NOT NULL,
    PRIMARY KEY (place, group_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER directory_added AFTER INSERT ON directory BEGIN
    INSERT INTO directory_words (rowid, name, user_id, group_id, phone, email, department, title) VALUES (
        new.entry, new.first_name || ' ' || new.last_name || ' ' || new.first_name, new.user_id, new.group_folded,
        coalesce(new.number, '') || ' ' || coalesce(new.extension, '') || ' ' || coalesce(new.mobile, ''),
        coalesce(new.email, ''), coalesce(new.department, ''), coalesce(new.title, ''));
    INSERT INTO directory_counts VALUES (new.place, '', 1), (new.place, new.group_id, 1)
        ON CONFLICT DO UPDATE SET entries = entries + 1;
END;
CREATE TRIGGER directory_removed AFTER DELETE ON directory BEGIN
    DELETE FROM directory_words WHERE rowid = old.entry;
    UPDATE directory_counts SET entries = entries - 1 WHERE place = old.place AND group_id IN ('', old.group_id);
    DELETE FROM directory_counts WHERE place = old.place AND entries = 0;
END;

CREATE TABLE phone_lists (
    list     INTEGER PRIMARY KEY,
    owner    TEXT NOT NULL UNIQUE,          -- lists::Owner as JSON
    entries  INTEGER NOT NULL,
    provider TEXT REFERENCES providers ON DELETE CASCADE,
    group_id TEXT,
    user_id  TEXT REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (provider, group_id) REFERENCES groups ON DELETE CASCADE
) STRICT;
CREATE INDEX phone_lists_by_group ON phone_lists (provider, group_id);
CREATE INDEX phone_lists_by_user ON phone_lists (user_id);

CREATE TABLE phone_list_entries (
    list   INTEGER NOT NULL REFERENCES phone_lists ON DELETE CASCADE,
    name   TEXT NOT NULL,                   -- as it is
    number TEXT NOT NULL,                   -- as it is
    folded TEXT NOT NULL,                   -- the name in lower case
    digits TEXT NOT NULL,                   -- the number without what people put between its digits
    PRIMARY KEY (list, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX phone_list_entries_by_folded ON phone_list_entries (list, folded, name);
CREATE INDEX phone_list_entries_by_digits ON phone_list_entries (list, digits, name);
CREATE TRIGGER phone_list_entry_added AFTER INSERT ON phone_list_entries BEGIN
    UPDATE phone_lists SET entries = entries + 1 WHERE list = new.list;
END;
CREATE TRIGGER phone_list_entry_removed AFTER DELETE ON phone_list_entries BEGIN
    UPDATE phone_lists SET entries = entries - 1 WHERE list = old.list;
END;

CREATE TABLE custom_directories (
    directory INTEGER PRIMARY KEY,
    provider  TEXT NOT NULL,
    group_id  TEXT NOT NULL,
    name      TEXT NOT NULL,
    UNIQUE (provider, group_id, name),
    FOREIGN KEY (provider, group_id) REFERENCES groups ON DELETE CASCADE
) STRICT;
CREATE TABLE custom_directory_users (
    directory INTEGER NOT NULL REFERENCES custom_directories ON DELETE CASCADE,
    user_id   TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    PRIMARY KEY (directory, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX custom_directory_users_by_user ON custom_directory_users (user_id);
