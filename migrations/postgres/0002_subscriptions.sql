-- What the read side remembers.

-- A subscription, as a version of its name. Changed only when somebody changes it.
CREATE TABLE ordain.subscriptions (
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    -- Raised with every change.
    generation bigint NOT NULL,
    state text NOT NULL CONSTRAINT subscriptions_state
        CHECK (state IN ('active', 'building', 'paused', 'stopped', 'resetting', 'retired')),
    reason text,
    fingerprint text NOT NULL,
    replayed bigint[] NOT NULL,
    barrier_position bigint,
    barrier_partitions bigint,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (name, version),
    CONSTRAINT subscriptions_barrier CHECK ((barrier_position IS NULL) = (barrier_partitions IS NULL))
);

-- Checkpoint and lease of a partition. Its rows change with every progress, so nothing that changes is
-- indexed and pages have room: the new row then stands beside the old one.
CREATE TABLE ordain.subscription_partitions (
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    partition bigint NOT NULL,
    position bigint NOT NULL,
    epoch bigint NOT NULL,
    owner uuid,
    lease_until timestamptz,
    moved_at timestamptz NOT NULL,
    -- The last progress, by which one that is sent again is recognised.
    last_commit uuid,
    trouble_position bigint,
    trouble_error text,
    trouble_attempts bigint,
    next_attempt timestamptz,
    CONSTRAINT subscription_partitions_pkey PRIMARY KEY (name, version, partition),
    CONSTRAINT subscription_partitions_lease CHECK ((owner IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 50);

-- Processes that work on a subscription.
CREATE TABLE ordain.subscription_members (
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    owner uuid NOT NULL,
    alive_until timestamptz NOT NULL,
    CONSTRAINT subscription_members_pkey PRIMARY KEY (name, version, owner)
) WITH (fillfactor = 50);

-- Keys whose events are passed over: dead letters, and those that wait for something under way.
CREATE TABLE ordain.blocks (
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    kind text NOT NULL CONSTRAINT blocks_kind CHECK (kind IN ('dead_letter', 'parked')),
    position bigint NOT NULL,
    event_id uuid,
    error text NOT NULL,
    attempts bigint NOT NULL,
    since timestamptz NOT NULL,
    request text CONSTRAINT blocks_request CHECK (request IN ('retry', 'discard')),
    CONSTRAINT blocks_pkey PRIMARY KEY (name, version, key)
);

-- What is not indexed may change without a new entry in any index: an instance that has not ended is written
-- at every event it handles.
CREATE TABLE ordain.process_instances (
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    bucket bigint NOT NULL,
    position bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    -- When an instance that has ended last changed.
    finished_at timestamptz,
    data bytea NOT NULL,
    CONSTRAINT process_instances_pkey PRIMARY KEY (name, version, id)
) WITH (fillfactor = 80);

CREATE INDEX process_instances_open ON ordain.process_instances (name, version, id) WHERE finished_at IS NULL;

CREATE INDEX process_instances_finished_at ON ordain.process_instances (name, version, finished_at)
WHERE finished_at IS NOT NULL;

-- Commands that are not settled.
CREATE TABLE ordain.outgoing_commands (
    command_id uuid CONSTRAINT outgoing_commands_pkey PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    instance text COLLATE "C" NOT NULL,
    bucket bigint NOT NULL,
    sequence bigint NOT NULL,
    attempts bigint NOT NULL,
    data bytea NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX outgoing_commands_instance ON ordain.outgoing_commands (name, version, instance, sequence);

CREATE TABLE ordain.timers (
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    instance text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    bucket bigint NOT NULL,
    generation bigint NOT NULL,
    due_at timestamptz NOT NULL,
    data bytea NOT NULL
);

CREATE INDEX timers_due_at ON ordain.timers (name, version, due_at, instance, key);

-- Of indexes that cost the same, as all do while a table is small, the planner takes the newest; the plan is
-- kept when the table is large.
ALTER TABLE ordain.timers ADD CONSTRAINT timers_pkey PRIMARY KEY (name, version, instance, key);

-- How subscriptions stand, by the clock of the database.
CREATE VIEW ordain.subscription_records AS
SELECT
    s.name, s.version, s.generation, s.state, s.reason, s.fingerprint, s.replayed, s.barrier_position,
    s.barrier_partitions, m.members, p.partitions, p.positions, p.epochs, p.owners, p.moved_at, p.trouble_positions,
    p.trouble_errors, p.trouble_attempts, p.next_attempts, b.dead_letters, b.parked, b.requests
FROM ordain.subscriptions AS s
CROSS JOIN LATERAL (
    SELECT count(*) AS members
    FROM ordain.subscription_members AS m
    WHERE m.name = s.name AND m.version = s.version AND m.alive_until > clock_timestamp()
) AS m
CROSS JOIN LATERAL (
    SELECT
        array_agg(p.partition ORDER BY p.partition) AS partitions,
        array_agg(p.position ORDER BY p.partition) AS positions,
        array_agg(p.epoch ORDER BY p.partition) AS epochs,
        array_agg(CASE WHEN p.lease_until > clock_timestamp() THEN p.owner END ORDER BY p.partition) AS owners,
        array_agg(p.moved_at ORDER BY p.partition) AS moved_at,
        array_agg(p.trouble_position ORDER BY p.partition) AS trouble_positions,
        array_agg(p.trouble_error ORDER BY p.partition) AS trouble_errors,
        array_agg(p.trouble_attempts ORDER BY p.partition) AS trouble_attempts,
        array_agg(p.next_attempt ORDER BY p.partition) AS next_attempts
    FROM ordain.subscription_partitions AS p
    WHERE p.name = s.name AND p.version = s.version
) AS p
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE b.kind = 'dead_letter') AS dead_letters,
        count(*) FILTER (WHERE b.kind = 'parked') AS parked,
        count(b.request) AS requests
    FROM ordain.blocks AS b
    WHERE b.name = s.name AND b.version = s.version
) AS b;

-- Takes the lock under which subscriptions are made, changed and removed. What is compared is read in a
-- later statement.
CREATE FUNCTION ordain.take_subscriptions_lock_1() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'OR001',
            MESSAGE = format('subscriptions are changed at isolation level "read committed", not "%s"', current_setting('transaction_isolation')),
            HINT = 'Begin the transaction with ISOLATION LEVEL READ COMMITTED.';
    END IF;
    RETURN pg_advisory_xact_lock(1869767777, 'ordain.subscriptions'::regclass::oid::integer) IS NOT NULL;
END
$$;

-- Makes or changes subscriptions, all or none; false if one of them does not look as expected. With no
-- changes it only waits for those under way.
CREATE FUNCTION ordain.change_subscriptions_1(
    _names text[],
    _versions bigint[],
    -- The generation that each must have, 0 if it must not exist, and where its partitions must stand.
    _expected bigint[],
    _at_least bigint[],
    _states text[],
    _reasons text[],
    _fingerprints text[],
    _barrier_positions bigint[],
    _barrier_partitions bigint[],
    -- Positions, with the number of their change from 1.
    _replayed_of integer[],
    _replayed bigint[],
    -- What becomes of the partitions: 0: they stay; 1: they are fenced; 2: they are replaced by those at
    -- the positions told.
    _partitions integer[],
    _positions_of integer[],
    _positions bigint[]
) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    _taken boolean := ordain.take_subscriptions_lock_1();
    _epoch bigint;
BEGIN
    PERFORM FROM unnest(_names, _versions, _partitions) AS c (name, version, partitions)
    JOIN ordain.subscription_partitions AS p ON p.name = c.name AND p.version = c.version
    WHERE c.partitions > 0
    ORDER BY p.name, p.version, p.partition
    FOR UPDATE OF p;

    PERFORM FROM unnest(_names, _versions, _expected, _at_least) AS c (name, version, expected, at_least)
    WHERE c.expected <> coalesce(
            (SELECT s.generation FROM ordain.subscriptions AS s WHERE s.name = c.name AND s.version = c.version), 0
        )
        OR EXISTS (
            SELECT FROM ordain.subscription_partitions AS p
            WHERE p.name = c.name AND p.version = c.version AND p.position < c.at_least
        );
    IF FOUND THEN
        RETURN false;
    END IF;

    INSERT INTO ordain.subscriptions AS s (
        name, version, generation, state, reason, fingerprint, replayed, barrier_position, barrier_partitions
    )
    SELECT
        c.name, c.version, c.expected + 1, c.state, c.reason, c.fingerprint,
        ARRAY(
            SELECT r.position FROM unnest(_replayed_of, _replayed) WITH ORDINALITY AS r (change, position, n)
            WHERE r.change = c.n ORDER BY r.n
        ),
        c.barrier_position, c.barrier_partitions
    FROM unnest(
        _names, _versions, _expected, _states, _reasons, _fingerprints, _barrier_positions, _barrier_partitions
    ) WITH ORDINALITY AS c (
        name, version, expected, state, reason, fingerprint, barrier_position, barrier_partitions, n
    )
    ON CONFLICT ON CONSTRAINT subscriptions_pkey DO UPDATE SET
        generation = excluded.generation,
        state = excluded.state,
        reason = excluded.reason,
        fingerprint = excluded.fingerprint,
        replayed = excluded.replayed,
        barrier_position = excluded.barrier_position,
        barrier_partitions = excluded.barrier_partitions;

    UPDATE ordain.subscription_partitions AS p SET owner = NULL, lease_until = NULL, epoch = p.epoch + 1
    FROM unnest(_names, _versions, _partitions) AS c (name, version, partitions)
    WHERE p.name = c.name AND p.version = c.version AND c.partitions = 1;

    FOR _change IN 1 .. coalesce(cardinality(_names), 0) LOOP
        CONTINUE WHEN _partitions[_change] <> 2;
        SELECT coalesce(max(p.epoch), floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint) + 1 INTO _epoch FROM ordain.subscription_partitions AS p
        WHERE p.name = _names[_change] AND p.version = _versions[_change];
        DELETE FROM ordain.subscription_partitions AS p
        WHERE p.name = _names[_change] AND p.version = _versions[_change];
        INSERT INTO ordain.subscription_partitions (name, version, partition, position, epoch, moved_at)
        SELECT
            _names[_change], _versions[_change], row_number() OVER (ORDER BY w.n) - 1, w.position, _epoch,
            clock_timestamp()
        FROM unnest(_positions_of, _positions) WITH ORDINALITY AS w (change, position, n)
        WHERE w.change = _change;
    END LOOP;
    RETURN true;
END
$$;

-- Removes a subscription with all that belongs to it; false if there is none. The partitions go first: who
-- makes progress then finds none, and what was made before is found by the statements behind.
CREATE FUNCTION ordain.remove_subscription_1(_name text, _version bigint) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    _taken boolean := ordain.take_subscriptions_lock_1();
    _found boolean;
BEGIN
    DELETE FROM ordain.subscriptions AS s WHERE s.name = _name AND s.version = _version;
    _found := FOUND;
    DELETE FROM ordain.subscription_partitions AS p WHERE p.name = _name AND p.version = _version;
    DELETE FROM ordain.subscription_members AS m WHERE m.name = _name AND m.version = _version;
    DELETE FROM ordain.blocks AS b WHERE b.name = _name AND b.version = _version;
    DELETE FROM ordain.process_instances AS i WHERE i.name = _name AND i.version = _version;
    DELETE FROM ordain.outgoing_commands AS o WHERE o.name = _name AND o.version = _version;
    DELETE FROM ordain.timers AS t WHERE t.name = _name AND t.version = _version;
    RETURN _found;
END
$$;

-- Says that a process is alive, renews its leases, and tells how its subscriptions stand. Members that were
-- silent for a minute are forgotten.
--
-- Each row is looked up by itself: a join planned for small tables would read large ones as a whole.
CREATE FUNCTION ordain.keep_alive_1(
    _owner uuid,
    _ttl_us bigint,
    _names text[],
    _versions bigint[],
    _lease_names text[],
    _lease_versions bigint[],
    _lease_partitions bigint[],
    _lease_epochs bigint[]
) RETURNS SETOF ordain.subscription_records
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    _ttl interval := _ttl_us * interval '1 microsecond';
    _n bigint;
BEGIN
    FOR _n IN 1 .. cardinality(_names) LOOP
        DELETE FROM ordain.subscription_members AS m
        WHERE m.name = _names[_n] AND m.version = _versions[_n] AND m.owner = ANY (ARRAY(
            SELECT s.owner FROM ordain.subscription_members AS s
            WHERE s.name = _names[_n] AND s.version = _versions[_n]
                AND s.alive_until < clock_timestamp() - interval '1 minute'
            FOR UPDATE SKIP LOCKED
        ));
        INSERT INTO ordain.subscription_members (name, version, owner, alive_until)
        SELECT s.name, s.version, _owner, clock_timestamp() + _ttl
        FROM ordain.subscriptions AS s WHERE s.name = _names[_n] AND s.version = _versions[_n]
        ON CONFLICT ON CONSTRAINT subscription_members_pkey DO UPDATE SET alive_until = excluded.alive_until;
    END LOOP;
    FOR _n IN
        SELECT l.n FROM unnest(_lease_names, _lease_versions, _lease_partitions)
            WITH ORDINALITY AS l (name, version, partition, n)
        ORDER BY l.name COLLATE "C", l.version, l.partition
    LOOP
        UPDATE ordain.subscription_partitions AS p SET lease_until = clock_timestamp() + _ttl
        WHERE p.name = _lease_names[_n] AND p.version = _lease_versions[_n] AND p.partition = _lease_partitions[_n]
            AND p.owner = _owner AND p.epoch = _lease_epochs[_n];
    END LOOP;
    RETURN QUERY
    SELECT r.*
    FROM (SELECT DISTINCT w.name, w.version FROM unnest(_names, _versions) AS w (name, version)) AS w
    CROSS JOIN LATERAL (
        SELECT r.* FROM ordain.subscription_records AS r WHERE r.name = w.name AND r.version = w.version LIMIT 1
    ) AS r
    ORDER BY r.name, r.version;
END
$$;

-- Frees those of the partitions that are still under these epochs. What is under way under them fails.
CREATE FUNCTION ordain.release_1(_names text[], _versions bigint[], _partitions bigint[], _epochs bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    _n bigint;
BEGIN
    FOR _n IN
        SELECT l.n FROM unnest(_names, _versions, _partitions) WITH ORDINALITY AS l (name, version, partition, n)
        ORDER BY l.name COLLATE "C", l.version, l.partition
    LOOP
        UPDATE ordain.subscription_partitions AS p SET owner = NULL, lease_until = NULL, epoch = p.epoch + 1
        WHERE p.name = _names[_n] AND p.version = _versions[_n] AND p.partition = _partitions[_n]
            AND p.epoch = _epochs[_n] AND p.owner IS NOT NULL;
    END LOOP;
END
$$;

-- Makes a progress with all that belongs to it, in one transaction. Of each kind, what is removed comes before
-- what is put, nothing twice and in the order of keys; the partition comes last, so that an owner who is held up here holds up nobody who takes over.
--
-- Raises OR004 if the lease is lost, and OR005 if something required is not there.
--
-- Rows are looked up one by one: by a list of keys, a plan that was made for small tables reads all that the
-- subscription has. What is compared by IS NOT DISTINCT FROM is left to no index, so that the id finds the row.
CREATE FUNCTION ordain.commit_progress_1(
    _name text,
    _version bigint,
    _partition bigint,
    _epoch bigint,
    _from bigint,
    _to bigint,
    _commit uuid,
    -- What must be there.
    _required_commands uuid[],
    _required_instances text[],
    _required_keys text[],
    _required_generations bigint[],
    _required_blocks text[],
    _required_positions bigint[],
    _required_requests text[],
    -- Whether the trouble becomes another one, and what it becomes.
    _troubled boolean,
    _trouble_position bigint,
    _trouble_error text,
    _trouble_attempts bigint,
    _next_attempt timestamptz,
    -- Blocks.
    _freed_keys text[],
    _block_keys text[],
    _block_kinds text[],
    _block_positions bigint[],
    _block_events uuid[],
    _block_errors text[],
    _block_attempts bigint[],
    _block_requests text[],
    -- Instances.
    _forgotten text[],
    _instances text[],
    _instance_buckets bigint[],
    _instance_positions bigint[],
    _instance_finished boolean[],
    _instance_data bytea[],
    -- Commands: instances of which all are settled, single ones that are, those that are issued.
    _settled_of text[],
    _settled uuid[],
    _commands uuid[],
    _command_instances text[],
    _command_buckets bigint[],
    _command_sequences bigint[],
    _command_attempts bigint[],
    _command_data bytea[],
    -- Timers: instances that lose all, single ones that are taken away, those that are set.
    _stopped_of text[],
    _stopped_instances text[],
    _stopped_keys text[],
    _timer_instances text[],
    _timer_keys text[],
    _timer_buckets bigint[],
    _timer_generations bigint[],
    _timers_due timestamptz[],
    _timer_data bytea[]
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    _now timestamptz := clock_timestamp();
BEGIN
    FOR _n IN 1 .. coalesce(cardinality(_required_commands), 0) LOOP
        PERFORM FROM ordain.outgoing_commands AS o
        WHERE o.command_id = _required_commands[_n]
            AND o.name IS NOT DISTINCT FROM _name AND o.version IS NOT DISTINCT FROM _version
        FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'OR005', MESSAGE = 'a command that is required is settled';
        END IF;
    END LOOP;
    FOR _n IN 1 .. coalesce(cardinality(_required_keys), 0) LOOP
        PERFORM FROM ordain.timers AS t
        WHERE t.name = _name AND t.version = _version AND t.instance = _required_instances[_n]
            AND t.key = _required_keys[_n] AND t.generation = _required_generations[_n]
        FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'OR005', MESSAGE = 'a timer that is required is not there';
        END IF;
    END LOOP;
    FOR _n IN 1 .. coalesce(cardinality(_required_blocks), 0) LOOP
        PERFORM FROM ordain.blocks AS b
        WHERE b.name = _name AND b.version = _version AND b.key = _required_blocks[_n]
            AND b.position IS NOT DISTINCT FROM _required_positions[_n]
            AND b.request IS NOT DISTINCT FROM _required_requests[_n]
        FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'OR005', MESSAGE = 'a key that is required is not passed over like this';
        END IF;
    END LOOP;

    FOR _n IN 1 .. coalesce(cardinality(_freed_keys), 0) LOOP
        DELETE FROM ordain.blocks AS b
        WHERE b.name = _name AND b.version = _version AND b.key = _freed_keys[_n];
    END LOOP;
    IF _block_keys IS NOT NULL THEN
        INSERT INTO ordain.blocks AS b (
            name, version, key, kind, position, event_id, error, attempts, since, request
        )
        SELECT _name, _version, w.key, w.kind, w.position, w.event_id, w.error, w.attempts, _now, w.request
        FROM unnest(
            _block_keys, _block_kinds, _block_positions, _block_events, _block_errors, _block_attempts, _block_requests
        ) AS w (key, kind, position, event_id, error, attempts, request)
        ON CONFLICT ON CONSTRAINT blocks_pkey DO UPDATE SET
            kind = excluded.kind,
            position = excluded.position,
            event_id = excluded.event_id,
            error = excluded.error,
            attempts = excluded.attempts,
            since = excluded.since,
            request = excluded.request;
    END IF;

    FOR _n IN 1 .. coalesce(cardinality(_forgotten), 0) LOOP
        DELETE FROM ordain.process_instances AS i
        WHERE i.name = _name AND i.version = _version AND i.id = _forgotten[_n];
    END LOOP;
    IF _instances IS NOT NULL THEN
        INSERT INTO ordain.process_instances AS i (
            name, version, id, bucket, position, changed_at, finished_at, data
        )
        SELECT _name, _version, w.id, w.bucket, w.position, _now, CASE WHEN w.finished THEN _now END, w.data
        FROM unnest(
            _instances, _instance_buckets, _instance_positions, _instance_finished, _instance_data
        ) AS w (id, bucket, position, finished, data)
        ON CONFLICT ON CONSTRAINT process_instances_pkey DO UPDATE SET
            bucket = excluded.bucket,
            position = excluded.position,
            changed_at = excluded.changed_at,
            finished_at = excluded.finished_at,
            data = excluded.data;
    END IF;

    FOR _n IN 1 .. coalesce(cardinality(_settled_of), 0) LOOP
        DELETE FROM ordain.outgoing_commands AS o
        WHERE o.name = _name AND o.version = _version AND o.instance = _settled_of[_n];
    END LOOP;
    FOR _n IN 1 .. coalesce(cardinality(_settled), 0) LOOP
        DELETE FROM ordain.outgoing_commands AS o
        WHERE o.command_id = _settled[_n]
            AND o.name IS NOT DISTINCT FROM _name AND o.version IS NOT DISTINCT FROM _version;
    END LOOP;
    IF _commands IS NOT NULL THEN
        INSERT INTO ordain.outgoing_commands AS o (
            command_id, name, version, instance, bucket, sequence, attempts, data
        )
        SELECT w.id, _name, _version, w.instance, w.bucket, w.sequence, w.attempts, w.data
        FROM unnest(
            _commands, _command_instances, _command_buckets, _command_sequences, _command_attempts, _command_data
        ) AS w (id, instance, bucket, sequence, attempts, data)
        ON CONFLICT ON CONSTRAINT outgoing_commands_pkey DO UPDATE SET
            name = excluded.name,
            version = excluded.version,
            instance = excluded.instance,
            bucket = excluded.bucket,
            sequence = excluded.sequence,
            attempts = excluded.attempts,
            data = excluded.data;
    END IF;

    FOR _n IN 1 .. coalesce(cardinality(_stopped_of), 0) LOOP
        DELETE FROM ordain.timers AS t
        WHERE t.name = _name AND t.version = _version AND t.instance = _stopped_of[_n];
    END LOOP;
    FOR _n IN 1 .. coalesce(cardinality(_stopped_keys), 0) LOOP
        DELETE FROM ordain.timers AS t
        WHERE t.name = _name AND t.version = _version AND t.instance = _stopped_instances[_n]
            AND t.key = _stopped_keys[_n];
    END LOOP;
    IF _timer_keys IS NOT NULL THEN
        INSERT INTO ordain.timers AS t (name, version, instance, key, bucket, generation, due_at, data)
        SELECT _name, _version, w.instance, w.key, w.bucket, w.generation, w.due_at, w.data
        FROM unnest(
            _timer_instances, _timer_keys, _timer_buckets, _timer_generations, _timers_due, _timer_data
        ) AS w (instance, key, bucket, generation, due_at, data)
        ON CONFLICT ON CONSTRAINT timers_pkey DO UPDATE SET
            bucket = excluded.bucket,
            generation = excluded.generation,
            due_at = excluded.due_at,
            data = excluded.data;
    END IF;

    UPDATE ordain.subscription_partitions AS p SET
        position = _to,
        moved_at = CASE WHEN _to <> _from THEN clock_timestamp() ELSE p.moved_at END,
        last_commit = _commit,
        trouble_position = CASE WHEN _troubled THEN _trouble_position ELSE p.trouble_position END,
        trouble_error = CASE WHEN _troubled THEN _trouble_error ELSE p.trouble_error END,
        trouble_attempts = CASE WHEN _troubled THEN _trouble_attempts ELSE p.trouble_attempts END,
        next_attempt = CASE WHEN _troubled THEN _next_attempt ELSE p.next_attempt END
    WHERE p.name = _name AND p.version = _version AND p.partition = _partition
        AND p.epoch = _epoch AND p.owner IS NOT NULL AND p.position = _from
        AND p.last_commit IS DISTINCT FROM _commit;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'OR004', MESSAGE = 'the partition has another owner, or stands elsewhere';
    END IF;
END
$$;

-- Forgets up to `_limit` instances that ended, and last changed, longer ago than this; returns how many.
CREATE FUNCTION ordain.prune_instances_1(_name text, _version bigint, _age_us bigint, _limit integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    _before timestamptz := clock_timestamp() - _age_us * interval '1 microsecond';
    _pruned integer := 0;
    _id text;
BEGIN
    FOR _id IN
        SELECT i.id FROM ordain.process_instances AS i
        WHERE i.name = _name AND i.version = _version AND i.finished_at < _before
        ORDER BY i.finished_at
        LIMIT _limit
        FOR UPDATE SKIP LOCKED
    LOOP
        DELETE FROM ordain.process_instances AS i WHERE i.name = _name AND i.version = _version AND i.id = _id;
        _pruned := _pruned + 1;
    END LOOP;
    RETURN _pruned;
END
$$;

-- Appends a batch as `append_1` does, of which some appends settle commands: `_settles` has, by append, the
-- outgoing command or null. Its row is locked here and removed if the append is accepted.
--
-- Verdicts as in `append_1`, besides 12: the command is settled already; 13: another transaction holds it, so the
-- append and those chained to it are to be tried again.
CREATE FUNCTION ordain.append_2(
    _lock_timeout_ms integer,
    -- What the caller last knew; a mismatch means that nothing is written.
    _generation bigint,
    _witness_position bigint,
    _witness_id uuid,
    -- Streams.
    _keys bigint[],
    _names text[],
    _ends bigint[],
    _entries uuid[],
    -- Appends: the first write (and one beyond the last), the chain or 0, the id that the command's first
    -- event has or null, the command's answer or null.
    _first_writes integer[],
    _chains integer[],
    _first_events uuid[],
    _commands uuid[],
    _answers bytea[],
    _settles uuid[],
    -- Writes: the stream, the version expected (-1: any, -2: any but 0), the entry at that version or
    -- null, the number of events, how many events come before, the id of the last event. `_bases` is the
    -- version before the write where the stream is trusted.
    _write_streams integer[],
    _expected bigint[],
    _builds_on uuid[],
    _counts integer[],
    _offsets bigint[],
    _last_ids uuid[],
    _bases bigint[],
    _checked integer[],
    -- Ids that are looked for, by append.
    _probe_appends integer[],
    _probe_ids uuid[],
    -- Events: the write, the place in it from 1, and what is stored.
    _event_writes integer[],
    _event_numbers integer[],
    _event_ids uuid[],
    _event_types text[],
    _schema_versions integer[],
    _correlation_ids uuid[],
    _causation_ids uuid[],
    _metadata json[],
    _data json[] /* payloads */,
    -- Whether it was carried out; if not, generation and head are those found.
    OUT carried_out boolean,
    OUT generation bigint,
    OUT head bigint,
    OUT head_id uuid,
    OUT recorded_at timestamptz,
    -- Null if every append was accepted with the streams' keys as given.
    OUT verdicts integer[],
    OUT stream_keys bigint[],
    OUT bases bigint[],
    OUT offsets bigint[],
    -- What a refused append came upon: the stream, its version or that of the recorded event, an answer.
    OUT found_streams integer[],
    OUT found_versions bigint[],
    OUT found_answers bytea[],
    OUT found_ids uuid[]
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    _accepted CONSTANT integer := 0;
    _predecessor_failed CONSTANT integer := 1;
    _repeated_events CONSTANT integer := 2;
    _repeated_answer CONSTANT integer := 3;
    _deleted CONSTANT integer := 4;
    _erased CONSTANT integer := 5;
    _holds_links CONSTANT integer := 6;
    _conflict CONSTANT integer := 7;
    _duplicate CONSTANT integer := 8;
    _settled CONSTANT integer := 12;
    _busy CONSTANT integer := 13;
    _taken boolean;
    _floor bigint;
    _previous timestamptz;
    _answered uuid[];
    _answers_found bytea[];
    _duplicate_appends integer[];
    _duplicate_ids uuid[];
    _deletions smallint[];
    _links boolean[];
    _broken integer[] := '{}';
    _outgoing uuid[];
    _held uuid[];
    _waiting integer[] := '{}';
    _next_key bigint;
    _fresh boolean := false;
    _refused boolean := false;
    _dropped bigint := 0;
    _verdict integer;
    _version bigint;
    _append integer;
    _write integer;
    _stream integer;
BEGIN
    _taken := ordain.take_order_lock_1(_lock_timeout_ms);
    SELECT h.generation, h.floor, l.global_position, l.event_id, l.recorded_at
    INTO generation, _floor, head, head_id, _previous
    FROM ordain.log_head AS h
    LEFT JOIN LATERAL (
        SELECT e.global_position, e.event_id, e.recorded_at
        FROM ordain.events AS e ORDER BY e.global_position DESC LIMIT 1
    ) AS l ON true
    WHERE h.id = 1;
    head := greatest(head, _floor);
    carried_out := generation = _generation
        AND (_witness_position = 0 OR (_witness_position = head AND _witness_id IS NOT DISTINCT FROM head_id));
    IF carried_out IS NOT TRUE AND generation = _generation THEN
        carried_out := EXISTS (
            SELECT FROM ordain.events AS e
            WHERE e.global_position = _witness_position AND e.event_id = _witness_id
        );
    END IF;
    IF carried_out IS NOT TRUE THEN
        RETURN;
    END IF;
    recorded_at := greatest(clock_timestamp(), _previous);

    IF _first_events IS NOT NULL THEN
        SELECT array_agg(o.first_event), array_agg(o.data) INTO _answered, _answers_found
        FROM ordain.command_outcomes AS o WHERE o.first_event = ANY (_first_events);
        IF _answered IS NOT NULL THEN
            _checked := ARRAY(SELECT generate_series(1, cardinality(_chains)));
        END IF;
    END IF;

    -- Never waits for a transaction that may be waiting for its client.
    _held := ARRAY(
        SELECT o.command_id FROM ordain.outgoing_commands AS o WHERE o.command_id = ANY (_settles)
        FOR UPDATE SKIP LOCKED
    );
    _outgoing := ARRAY(
        SELECT o.command_id FROM ordain.outgoing_commands AS o WHERE o.command_id = ANY (_settles)
    );

    IF _checked IS NOT NULL THEN
        verdicts := array_fill(_accepted, ARRAY[cardinality(_chains)]);
        found_streams := array_fill(NULL::integer, ARRAY[cardinality(_chains)]);
        found_versions := array_fill(NULL::bigint, ARRAY[cardinality(_chains)]);
        found_answers := array_fill(NULL::bytea, ARRAY[cardinality(_chains)]);
        found_ids := array_fill(NULL::uuid, ARRAY[cardinality(_chains)]);

        SELECT
            array_agg(coalesce(w.key, s.key) ORDER BY w.n),
            array_agg(CASE WHEN w.key IS NULL THEN coalesce(l.stream_version, 0) ELSE w.version END ORDER BY w.n),
            array_agg(CASE WHEN w.key IS NULL THEN l.event_id ELSE w.entry END ORDER BY w.n),
            array_agg(coalesce(s.deleted, 0::smallint) ORDER BY w.n),
            array_agg(coalesce(s.holds_links, false) ORDER BY w.n)
        INTO _keys, _ends, _entries, _deletions, _links
        FROM unnest(_keys, _names, _ends, _entries) WITH ORDINALITY AS w (key, name, version, entry, n)
        LEFT JOIN LATERAL (
            SELECT s.key, s.deleted, s.holds_links FROM ordain.streams AS s
            WHERE w.key IS NULL AND s.name = w.name LIMIT 1
        ) AS s ON true
        LEFT JOIN LATERAL (
            SELECT e.stream_version, e.event_id FROM ordain.events AS e
            WHERE e.stream_key = s.key ORDER BY e.stream_version DESC LIMIT 1
        ) AS l ON true;

        IF _probe_ids IS NOT NULL THEN
            SELECT array_agg(p.append ORDER BY p.n), array_agg(p.id ORDER BY p.n)
            INTO _duplicate_appends, _duplicate_ids
            FROM unnest(_probe_appends, _probe_ids) WITH ORDINALITY AS p (append, id, n)
            CROSS JOIN LATERAL (SELECT FROM ordain.events AS e WHERE e.event_id = p.id LIMIT 1) AS e;
        END IF;

        FOREACH _append IN ARRAY _checked LOOP
            _verdict := _accepted;
            IF _chains[_append] = ANY (_broken) THEN
                _verdict := _predecessor_failed;
            ELSIF _chains[_append] = ANY (_waiting) THEN
                _verdict := _busy;
            ELSE
                IF _first_events[_append] IS NOT NULL AND _duplicate_appends IS NOT NULL THEN
                    SELECT e.stream_version INTO _version FROM ordain.events AS e
                    WHERE e.event_id = _first_events[_append] AND e.event_type NOT LIKE '$%';
                    IF FOUND THEN
                        _verdict := _repeated_events;
                        found_versions[_append] := _version;
                    END IF;
                END IF;
                IF _verdict = _accepted AND _first_events[_append] = ANY (_answered) THEN
                    _verdict := _repeated_answer;
                    found_answers[_append] := _answers_found[array_position(_answered, _first_events[_append])];
                END IF;
                IF _verdict = _accepted AND _settles[_append] IS NOT NULL THEN
                    _verdict := CASE
                        WHEN _settles[_append] = ANY (_held) THEN _accepted
                        WHEN _settles[_append] = ANY (_outgoing) THEN _busy
                        ELSE _settled
                    END;
                END IF;
            END IF;

            _write := _first_writes[_append];
            WHILE _verdict = _accepted AND _write < _first_writes[_append + 1] LOOP
                _stream := _write_streams[_write];
                _verdict := CASE
                    WHEN _counts[_write] = 0 AND _expected[_write] = _ends[_stream]
                        AND _builds_on[_write] IS NOT DISTINCT FROM _entries[_stream] THEN _accepted
                    WHEN _counts[_write] = 0 THEN _conflict
                    WHEN _deletions[_stream] = 1 THEN _deleted
                    WHEN _deletions[_stream] = 2 THEN _erased
                    WHEN _links[_stream] THEN _holds_links
                    WHEN _expected[_write] >= 0 AND _expected[_write] <> _ends[_stream] THEN _conflict
                    WHEN _expected[_write] = -2 AND _ends[_stream] = 0 THEN _conflict
                    WHEN _builds_on[_write] <> coalesce(_entries[_stream], '00000000-0000-0000-0000-000000000000') THEN _conflict
                    ELSE _accepted
                END;
                IF _verdict <> _accepted THEN
                    found_streams[_append] := _stream;
                    found_versions[_append] := _ends[_stream];
                END IF;
                _write := _write + 1;
            END LOOP;

            IF _verdict = _accepted AND _append = ANY (_duplicate_appends) THEN
                _verdict := _duplicate;
                found_ids[_append] := _duplicate_ids[array_position(_duplicate_appends, _append)];
            END IF;

            verdicts[_append] := _verdict;
            IF _verdict <> _accepted THEN
                _refused := true;
                IF _chains[_append] > 0 AND _verdict = _busy THEN
                    _waiting := _waiting || _chains[_append];
                ELSIF _chains[_append] > 0 THEN
                    _broken := _broken || _chains[_append];
                END IF;
                CONTINUE;
            END IF;
            IF _settles[_append] IS NOT NULL THEN
                _held := array_remove(_held, _settles[_append]);
                _outgoing := array_remove(_outgoing, _settles[_append]);
            END IF;
            FOR _write IN _first_writes[_append] .. _first_writes[_append + 1] - 1 LOOP
                CONTINUE WHEN _counts[_write] = 0;
                _stream := _write_streams[_write];
                IF _keys[_stream] IS NULL THEN
                    IF NOT _fresh THEN
                        SELECT coalesce(max(s.key), 0) INTO _next_key FROM ordain.streams AS s;
                        _fresh := true;
                    END IF;
                    _next_key := _next_key + 1;
                    _keys[_stream] := -_next_key;
                END IF;
                _bases[_write] := _ends[_stream];
                _ends[_stream] := _ends[_stream] + _counts[_write];
                _entries[_stream] := _last_ids[_write];
            END LOOP;
        END LOOP;

        IF _fresh THEN
            INSERT INTO ordain.streams (key, name, category, created_at)
            SELECT -w.key, w.name, split_part(w.name, '-', 1), recorded_at
            FROM unnest(_keys, _names) AS w (key, name) WHERE w.key < 0;
            _keys := ARRAY(SELECT abs(w.key) FROM unnest(_keys) WITH ORDINALITY AS w (key, n) ORDER BY w.n);
        END IF;
        IF _refused THEN
            FOR _append IN 1 .. cardinality(_chains) LOOP
                FOR _write IN _first_writes[_append] .. _first_writes[_append + 1] - 1 LOOP
                    IF verdicts[_append] <> _accepted THEN
                        _dropped := _dropped + _counts[_write];
                        _offsets[_write] := -1;
                    ELSE
                        _offsets[_write] := _offsets[_write] - _dropped;
                    END IF;
                END LOOP;
            END LOOP;
        END IF;
        INSERT INTO ordain.command_outcomes (first_event, stream, command_id, recorded_at, data)
        SELECT a.first_event, _names[_write_streams[_first_writes[a.n]]], a.command_id, recorded_at, a.data
        FROM unnest(_first_events, _commands, _answers) WITH ORDINALITY AS a (first_event, command_id, data, n)
        WHERE a.data IS NOT NULL AND verdicts[a.n] = _accepted;
        DELETE FROM ordain.outgoing_commands AS o WHERE o.command_id = ANY (ARRAY(
            SELECT a.command_id FROM unnest(_settles, verdicts) AS a (command_id, verdict)
            WHERE a.verdict = _accepted
        ));
        stream_keys := _keys;
        bases := _bases;
        offsets := _offsets;
    END IF;

    INSERT INTO ordain.events (
        global_position, stream_key, stream_version, recorded_at, event_id, correlation_id, causation_id,
        schema_version, event_type, data, metadata
    )
    SELECT
        head + _offsets[e.write] + e.number,
        _keys[_write_streams[e.write]],
        _bases[e.write] + e.number,
        recorded_at,
        e.event_id,
        e.correlation_id,
        e.causation_id,
        e.schema_version,
        e.event_type,
        e.data,
        e.metadata
    FROM unnest(
        _event_writes, _event_numbers, _event_ids, _event_types, _schema_versions, _correlation_ids, _causation_ids,
        _metadata, _data
    ) AS e (write, number, event_id, event_type, schema_version, correlation_id, causation_id, metadata, data)
    WHERE _offsets[e.write] >= 0;
END
$$;
