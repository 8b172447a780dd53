-- What the read side remembers. Everything belongs to a subscription by its name and version; members and
-- timers may be there before it.

CREATE TABLE subscriptions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'building', 'paused', 'stopped', 'resetting', 'retired')),
    reason TEXT,
    fingerprint TEXT NOT NULL,
    -- A list of positions as JSON.
    replayed TEXT NOT NULL,
    barrier_position INTEGER,
    barrier_partitions INTEGER,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

-- A checkpoint, and who may move it: the owner of the epoch.
CREATE TABLE partitions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    owner BLOB CHECK (length(owner) = 16),
    lease_until INTEGER,
    moved_at INTEGER NOT NULL,
    trouble_position INTEGER,
    trouble_error TEXT,
    trouble_attempts INTEGER,
    trouble_next_attempt INTEGER,
    PRIMARY KEY (name, version, partition),
    CHECK ((owner IS NULL) = (lease_until IS NULL))
) STRICT, WITHOUT ROWID;

-- Processes that work on a subscription.
CREATE TABLE members (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    owner BLOB NOT NULL CHECK (length(owner) = 16),
    alive_until INTEGER NOT NULL,
    PRIMARY KEY (name, version, owner)
) STRICT, WITHOUT ROWID;

-- Keys whose events are passed over: dead letters and parked keys.
CREATE TABLE blocks (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('dead_letter', 'parked')),
    position INTEGER NOT NULL,
    event_id BLOB CHECK (length(event_id) = 16),
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    since INTEGER NOT NULL,
    request TEXT CHECK (request IN ('retry', 'discard')),
    PRIMARY KEY (name, version, key)
) STRICT;

-- Every sign of life counts the blocks.
CREATE INDEX blocks_kind ON blocks (name, version, kind, request);

CREATE TABLE process_instances (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    id TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    position INTEGER NOT NULL,
    finished INTEGER NOT NULL CHECK (finished IN (0, 1)),
    data BLOB NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (name, version, id)
) STRICT;

CREATE INDEX process_instances_finished ON process_instances (name, version, finished, id);

CREATE INDEX process_instances_ended ON process_instances (name, version, changed_at) WHERE finished = 1;

-- Commands that are not settled.
CREATE TABLE outgoing_commands (
    command_id BLOB NOT NULL PRIMARY KEY CHECK (length(command_id) = 16),
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    instance TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

CREATE INDEX outgoing_commands_instance ON outgoing_commands (name, version, instance, sequence, bucket);

CREATE TABLE timers (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    instance TEXT NOT NULL,
    key TEXT NOT NULL,
    generation INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (name, version, instance, key)
) STRICT;

CREATE INDEX timers_due ON timers (name, version, due_at, instance, key, bucket);

PRAGMA user_version = 2;
