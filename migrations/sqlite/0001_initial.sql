-- The first schema. Times are microseconds since 1970 in UTC; ids are 16 bytes.

CREATE TABLE store_info (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    codec TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- The highest position that an erasure has passed; positions are never issued at or below it.
CREATE TABLE log_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    floor INTEGER NOT NULL
) STRICT;

INSERT INTO log_head (id, floor) VALUES (1, 0);

-- A row is written with the stream's first entry and stays for good. Where the stream ends is told by
-- its last entry, so an append changes nothing here.
CREATE TABLE streams (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    category TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- 0: open; 1: soft-deleted; 2: erased.
    deleted INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1, 2)),
    holds_links INTEGER NOT NULL DEFAULT 0 CHECK (holds_links IN (0, 1))
) STRICT;

-- An entry is an event, a link (type `$link`, with the position of its target) or a tombstone
-- (type `$deleted`). No event's type begins with `$`.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams (key),
    version INTEGER NOT NULL,
    event_id BLOB NOT NULL CHECK (length(event_id) = 16),
    event_type TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    -- Text where the codec is JSON, otherwise a blob; null for links and tombstones.
    data ANY,
    metadata TEXT,
    correlation_id BLOB,
    causation_id BLOB,
    recorded_at INTEGER NOT NULL,
    link_to INTEGER
) STRICT;

CREATE UNIQUE INDEX events_stream_version ON events (stream, version);

CREATE UNIQUE INDEX events_event_id ON events (event_id);

CREATE UNIQUE INDEX events_link ON events (stream, link_to) WHERE link_to IS NOT NULL;

-- What is left of erased entries: that they were there, and when they were recorded.
CREATE TABLE erased (
    position INTEGER PRIMARY KEY,
    recorded_at INTEGER NOT NULL
) STRICT;

-- While a row stands here, entries may be deleted. Written and removed in one transaction.
CREATE TABLE erasure_permit (
    stream INTEGER PRIMARY KEY REFERENCES streams (key)
) STRICT;

-- Answers of commands that produced no events.
CREATE TABLE command_outcomes (
    stream TEXT NOT NULL,
    command_id BLOB NOT NULL CHECK (length(command_id) = 16),
    data BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (stream, command_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX command_outcomes_recorded_at ON command_outcomes (recorded_at);

CREATE TABLE snapshots (
    key INTEGER PRIMARY KEY,
    stream TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    entry BLOB NOT NULL CHECK (length(entry) = 16),
    schema_version INTEGER NOT NULL,
    data BLOB NOT NULL,
    taken_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER events_keep BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM erasure_permit WHERE stream = OLD.stream)
BEGIN
    SELECT RAISE(ABORT, 'events are never deleted; erase their stream through the store');
END;

CREATE TRIGGER events_stay BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are never changed');
END;

-- `INSERT OR REPLACE` deletes without asking the triggers of a DELETE.
CREATE TRIGGER events_anew BEFORE INSERT ON events
WHEN
    NEW.position <= (SELECT max(position) FROM events)
    OR EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
    OR EXISTS (SELECT 1 FROM events WHERE stream = NEW.stream AND version = NEW.version)
BEGIN
    SELECT RAISE(ABORT, 'events are never replaced');
END;

CREATE TRIGGER streams_anew BEFORE INSERT ON streams
WHEN EXISTS (SELECT 1 FROM streams WHERE key = NEW.key OR name = NEW.name)
BEGIN
    SELECT RAISE(ABORT, 'streams are never replaced');
END;

CREATE TRIGGER streams_keep BEFORE DELETE ON streams
BEGIN
    SELECT RAISE(ABORT, 'streams are never deleted; delete them through the store');
END;

CREATE TRIGGER streams_stay BEFORE UPDATE OF key, name, category, created_at, holds_links ON streams
BEGIN
    SELECT RAISE(ABORT, 'streams are never renamed');
END;

CREATE TRIGGER streams_erased BEFORE UPDATE OF deleted ON streams WHEN OLD.deleted = 2
BEGIN
    SELECT RAISE(ABORT, 'an erased stream stays closed');
END;

CREATE TRIGGER erased_keep BEFORE DELETE ON erased
BEGIN
    SELECT RAISE(ABORT, 'the trace of an erasure is never deleted');
END;

CREATE TRIGGER erased_stay BEFORE UPDATE ON erased
BEGIN
    SELECT RAISE(ABORT, 'the trace of an erasure is never changed');
END;

CREATE TRIGGER log_head_keep BEFORE DELETE ON log_head
BEGIN
    SELECT RAISE(ABORT, 'the floor of the positions is never deleted');
END;

CREATE TRIGGER log_head_rise BEFORE UPDATE ON log_head WHEN NEW.floor < OLD.floor OR NEW.id <> OLD.id
BEGIN
    SELECT RAISE(ABORT, 'the floor of the positions never sinks');
END;

CREATE TRIGGER store_info_keep BEFORE DELETE ON store_info
BEGIN
    SELECT RAISE(ABORT, 'what the store was made with is never deleted');
END;

CREATE TRIGGER store_info_stay BEFORE UPDATE ON store_info
BEGIN
    SELECT RAISE(ABORT, 'what the store was made with is never changed');
END;

-- `ordn`
PRAGMA application_id = 1869767790;
PRAGMA user_version = 1;
