-- The first schema. `ordain` stands for the store's schema, `json` with the remark beside it for its
-- payload type; both are filled in when this is run.

-- One row: what the store was made with, and what all writers compare under the order lock.
CREATE TABLE ordain.log_head (
    id smallint CONSTRAINT log_head_pkey PRIMARY KEY CONSTRAINT log_head_single CHECK (id = 1),
    identity uuid NOT NULL,
    -- The highest position that an erasure has passed; positions are never issued at or below it.
    floor bigint NOT NULL DEFAULT 0,
    -- Raised whenever what a process remembers of versions may be wrong, or an append of its past has
    -- to be kept from coming true: by every hard delete, fence and repair.
    generation bigint NOT NULL DEFAULT 1,
    payload text NOT NULL CONSTRAINT log_head_payload CHECK (payload IN ('json', 'jsonb', 'bytea')),
    codec text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL
);

-- A row is written with the stream's first entry and stays for good. Where the stream ends is told by
-- its last entry, so an append changes nothing here. Keys ascend and are never used again.
CREATE TABLE ordain.streams (
    key bigint CONSTRAINT streams_pkey PRIMARY KEY,
    name text COLLATE "C" NOT NULL CONSTRAINT streams_name UNIQUE,
    category text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    -- 0: open; 1: soft-deleted; 2: erased.
    deleted smallint NOT NULL DEFAULT 0 CONSTRAINT streams_deleted CHECK (deleted IN (0, 1, 2)),
    holds_links boolean NOT NULL DEFAULT false
);

-- An entry is an event, a link (type `$link`, with the position of its target) or a tombstone
-- (type `$deleted`). No event's type begins with `$`.
CREATE TABLE ordain.events (
    global_position bigint CONSTRAINT events_position PRIMARY KEY,
    stream_key bigint NOT NULL,
    stream_version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    link_to bigint,
    event_id uuid NOT NULL,
    correlation_id uuid,
    causation_id uuid,
    schema_version integer NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    data json /* payload */,
    metadata json,
    CONSTRAINT events_stream_version UNIQUE (stream_key, stream_version),
    CONSTRAINT events_event_id UNIQUE (event_id)
);

-- Which stream links to which event: once at the most.
CREATE TABLE ordain.links (
    stream_key bigint NOT NULL CONSTRAINT links_stream REFERENCES ordain.streams (key),
    target bigint NOT NULL,
    CONSTRAINT links_pkey PRIMARY KEY (stream_key, target)
);

-- What is left of erased entries: that they were there, and when they were recorded.
CREATE TABLE ordain.erased (
    global_position bigint CONSTRAINT erased_pkey PRIMARY KEY,
    recorded_at timestamptz NOT NULL
);

CREATE INDEX erased_recorded_at ON ordain.erased (recorded_at, global_position);

-- Erased streams whose entries are still to be removed.
CREATE TABLE ordain.erasures (
    stream_key bigint CONSTRAINT erasures_pkey PRIMARY KEY
        CONSTRAINT erasures_stream REFERENCES ordain.streams (key)
);

-- Answers of commands that produced no events, by the id that the command's first event would have.
CREATE TABLE ordain.command_outcomes (
    first_event uuid CONSTRAINT command_outcomes_pkey PRIMARY KEY,
    stream text COLLATE "C" NOT NULL,
    command_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    data bytea NOT NULL
);

CREATE INDEX command_outcomes_stream ON ordain.command_outcomes (stream);

CREATE INDEX command_outcomes_recorded_at ON ordain.command_outcomes (recorded_at);

CREATE TABLE ordain.snapshots (
    stream_key bigint CONSTRAINT snapshots_pkey PRIMARY KEY
        CONSTRAINT snapshots_stream REFERENCES ordain.streams (key),
    stream_version bigint NOT NULL,
    entry uuid NOT NULL,
    schema_version integer NOT NULL,
    taken_at timestamptz NOT NULL,
    data bytea NOT NULL
);

-- Guards. They ask once per statement, so appends do not feel them.

CREATE FUNCTION ordain.keep_entries() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'DELETE' AND current_setting('ordain_erasure.permit', true) = tg_table_schema THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'OR003',
        MESSAGE = format('%s on %I.%I is refused: events are never changed or deleted', tg_op, tg_table_schema, tg_table_name),
        HINT = 'Erase their stream through the store.';
END
$$;

CREATE TRIGGER events_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON ordain.events
FOR EACH STATEMENT EXECUTE FUNCTION ordain.keep_entries();

CREATE FUNCTION ordain.keep_rows() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'OR003',
        MESSAGE = format('%s on %I.%I is refused', tg_op, tg_table_schema, tg_table_name),
        HINT = 'What is there belongs to the store; change it through the store.';
END
$$;

CREATE TRIGGER streams_keep BEFORE DELETE OR TRUNCATE OR UPDATE OF key, name, category, created_at, holds_links
ON ordain.streams FOR EACH STATEMENT EXECUTE FUNCTION ordain.keep_rows();

CREATE TRIGGER streams_erased BEFORE UPDATE ON ordain.streams
FOR EACH ROW WHEN (old.deleted = 2) EXECUTE FUNCTION ordain.keep_rows();

CREATE TRIGGER erased_keep BEFORE DELETE OR UPDATE OR TRUNCATE
ON ordain.erased FOR EACH STATEMENT EXECUTE FUNCTION ordain.keep_rows();

CREATE TRIGGER log_head_keep BEFORE DELETE OR TRUNCATE OR UPDATE OF id, identity, payload, codec, created_by, created_at
ON ordain.log_head FOR EACH STATEMENT EXECUTE FUNCTION ordain.keep_rows();

CREATE TRIGGER log_head_rise BEFORE UPDATE ON ordain.log_head
FOR EACH ROW WHEN (new.floor < old.floor OR new.generation < old.generation)
EXECUTE FUNCTION ordain.keep_rows();

-- Functions. Their names have a version, so that processes of two releases can work side by side.

-- Takes the lock under which everything is written that takes a position. The lock ends with the
-- transaction, after its changes can be seen. Whoever calls this reads the head in a later statement, or
-- its snapshot would be older than the lock.
--
-- Assignments are evaluated without the planner and the executor, which PERFORM would start each time.
CREATE FUNCTION ordain.take_order_lock_1(_timeout_ms integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    _set text;
    _taken boolean;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'OR001',
            MESSAGE = format('events are appended at isolation level "read committed", not "%s"', current_setting('transaction_isolation')),
            HINT = 'Begin the transaction with ISOLATION LEVEL READ COMMITTED.';
    END IF;
    _set := set_config('lock_timeout', _timeout_ms::text, true);
    _set := set_config('idle_in_transaction_session_timeout', '5s', true);
    _taken := pg_advisory_xact_lock(1869767777, 'ordain.log_head'::regclass::oid::integer) IS NOT NULL;
    RETURN _taken;
END
$$;

-- Appends one event to a stream whose key and version the caller knows: what `append_1` does, for a batch of
-- one. `carried_out` is null if the command, whose first event would have the id `_first_event`, was
-- answered before: then nothing is written, and `append_1` is to judge it.
CREATE FUNCTION ordain.append_one_1(
    _lock_timeout_ms integer,
    _generation bigint,
    _witness_position bigint,
    _witness_id uuid,
    _stream_key bigint,
    _stream_version bigint,
    _first_event uuid,
    _event_id uuid,
    _event_type text,
    _schema_version integer,
    _correlation_id uuid,
    _causation_id uuid,
    _metadata json,
    _data json /* payload */,
    OUT carried_out boolean,
    OUT generation bigint,
    OUT head bigint,
    OUT head_id uuid,
    OUT recorded_at timestamptz
)
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    _taken boolean;
    _floor bigint;
    _previous timestamptz;
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
    IF _first_event IS NOT NULL THEN
        PERFORM FROM ordain.command_outcomes AS o WHERE o.first_event = _first_event;
        IF FOUND THEN
            carried_out := NULL;
            RETURN;
        END IF;
    END IF;
    recorded_at := greatest(clock_timestamp(), _previous);
    INSERT INTO ordain.events (
        global_position, stream_key, stream_version, recorded_at, event_id, correlation_id, causation_id,
        schema_version, event_type, data, metadata
    )
    VALUES (
        head + 1, _stream_key, _stream_version, recorded_at, _event_id, _correlation_id, _causation_id,
        _schema_version, _event_type, _data, _metadata
    );
END
$$;

-- Appends a batch.
--
-- A batch has streams, writes and events, each a set of arrays of one length, and appends, which are
-- numbered from 1 and have consecutive writes. No id of an event or command occurs twice in it.
--
-- A trusted stream comes with its key and its end as the caller knows them, and the unique index decides;
-- the end of any other (without a key) is read here. `_checked` names, in order, the appends that have to
-- be judged: those which touch a stream that is not trusted, and those chained to them.
--
-- An item with a command's answer is an append with one write of no events.
CREATE FUNCTION ordain.append_1(
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
                IF _chains[_append] > 0 THEN
                    _broken := _broken || _chains[_append];
                END IF;
                CONTINUE;
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

-- Raises the generation, so that no call that was sent before can come true any more: it finds another
-- generation than its own. Tells where the log ends.
CREATE FUNCTION ordain.fence_1(_lock_timeout_ms integer, OUT generation bigint, OUT head bigint, OUT head_id uuid)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    _floor bigint;
BEGIN
    PERFORM ordain.take_order_lock_1(_lock_timeout_ms);
    UPDATE ordain.log_head AS h SET generation = h.generation + 1 WHERE h.id = 1
    RETURNING h.generation, h.floor INTO generation, _floor;
    SELECT e.global_position, e.event_id INTO head, head_id
    FROM ordain.events AS e ORDER BY e.global_position DESC LIMIT 1;
    head := coalesce(greatest(head, _floor), 0);
END
$$;

-- Appends links. The ids of `_link_ids` are the links' own; if the first is there already, the call is a
-- repetition of one that was carried out.
--
-- Verdicts as in `append_1`, besides 9: there is no event with `found_id`.
CREATE FUNCTION ordain.link_1(
    _lock_timeout_ms integer,
    _generation bigint,
    _name text,
    _expected bigint,
    _target_ids uuid[],
    _link_ids uuid[],
    OUT verdict integer,
    OUT generation bigint,
    OUT first_position bigint,
    OUT version bigint,
    OUT recorded_at timestamptz,
    OUT found_id uuid
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    _stream ordain.streams;
    _head bigint;
    _floor bigint;
    _previous timestamptz;
    _targets bigint[];
BEGIN
    PERFORM ordain.take_order_lock_1(_lock_timeout_ms);
    SELECT h.floor, h.generation INTO _floor, generation FROM ordain.log_head AS h WHERE h.id = 1;
    IF generation <> _generation THEN
        RETURN;
    END IF;
    SELECT e.global_position, e.stream_version + cardinality(_link_ids) - 1, e.recorded_at
    INTO first_position, version, recorded_at
    FROM ordain.events AS e WHERE e.event_id = _link_ids[1];
    IF FOUND THEN
        verdict := 0;
        RETURN;
    END IF;
    SELECT e.global_position, e.recorded_at INTO _head, _previous
    FROM ordain.events AS e ORDER BY e.global_position DESC LIMIT 1;
    _head := coalesce(greatest(_head, _floor), 0);

    SELECT s.* INTO _stream FROM ordain.streams AS s WHERE s.name = _name;
    SELECT coalesce(max(e.stream_version), 0) INTO version
    FROM ordain.events AS e WHERE e.stream_key = _stream.key;
    verdict := CASE
        WHEN _stream.deleted = 1 THEN 4
        WHEN _stream.deleted = 2 THEN 5
        WHEN version > 0 AND NOT _stream.holds_links THEN 6
        WHEN _expected >= 0 AND _expected <> version OR _expected = -2 AND version = 0 THEN 7
        ELSE 0
    END;
    IF verdict <> 0 THEN
        RETURN;
    END IF;

    SELECT array_agg(t.global_position ORDER BY w.n) INTO _targets
    FROM unnest(_target_ids) WITH ORDINALITY AS w (id, n)
    LEFT JOIN LATERAL (
        SELECT e.global_position, e.link_to FROM ordain.events AS e WHERE e.event_id = w.id LIMIT 1
    ) AS e ON true
    LEFT JOIN LATERAL (
        SELECT e2.global_position FROM ordain.events AS e2
        WHERE e2.global_position = coalesce(e.link_to, e.global_position) AND e2.event_type <> '$deleted' LIMIT 1
    ) AS t ON true;
    SELECT w.id INTO found_id
    FROM unnest(_target_ids, _targets) WITH ORDINALITY AS w (id, target, n)
    WHERE w.target IS NULL ORDER BY w.n LIMIT 1;
    IF FOUND THEN
        verdict := 9;
        RETURN;
    END IF;
    SELECT e.event_id INTO found_id
    FROM unnest(_targets) WITH ORDINALITY AS w (target, n)
    JOIN ordain.events AS e ON e.global_position = w.target
    WHERE w.target = ANY (_targets[: w.n::integer - 1])
        OR EXISTS (SELECT FROM ordain.links AS l WHERE l.stream_key = _stream.key AND l.target = w.target)
    ORDER BY w.n LIMIT 1;
    IF FOUND THEN
        verdict := 8;
        RETURN;
    END IF;

    recorded_at := greatest(clock_timestamp(), _previous);
    IF _stream.key IS NULL THEN
        INSERT INTO ordain.streams AS s (key, name, category, created_at, holds_links)
        SELECT coalesce(max(o.key), 0) + 1, _name, split_part(_name, '-', 1), recorded_at, true
        FROM ordain.streams AS o
        RETURNING s.key INTO _stream.key;
    END IF;
    first_position := _head + 1;
    INSERT INTO ordain.events (
        global_position, stream_key, stream_version, recorded_at, link_to, event_id, schema_version, event_type
    )
    SELECT _head + w.n, _stream.key, version + w.n, recorded_at, w.target, w.id, 1, '$link'
    FROM unnest(_targets, _link_ids) WITH ORDINALITY AS w (target, id, n);
    INSERT INTO ordain.links (stream_key, target) SELECT _stream.key, w.target FROM unnest(_targets) AS w (target);
    version := version + cardinality(_targets);
END
$$;

-- Deletes a stream: a tombstone with this id takes its next version and a position. If the tombstone is
-- there already, the call is a repetition of one that was carried out.
--
-- Verdicts as in `append_1`, besides 10: there is no such stream. What a hard delete erases is removed by
-- `erase_1`.
CREATE FUNCTION ordain.delete_1(
    _lock_timeout_ms integer,
    _generation bigint,
    _name text,
    _expected bigint,
    _hard boolean,
    _tombstone uuid,
    OUT verdict integer,
    OUT generation bigint,
    OUT version bigint,
    OUT place bigint,
    OUT stream_key bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    _stream ordain.streams;
    _floor bigint;
    _previous timestamptz;
BEGIN
    PERFORM ordain.take_order_lock_1(_lock_timeout_ms);
    SELECT h.floor, h.generation INTO _floor, generation FROM ordain.log_head AS h WHERE h.id = 1;
    IF generation <> _generation THEN
        RETURN;
    END IF;
    SELECT s.* INTO _stream FROM ordain.streams AS s WHERE s.name = _name;
    stream_key := _stream.key;
    SELECT e.stream_version, e.global_position INTO version, place
    FROM ordain.events AS e WHERE e.event_id = _tombstone;
    IF FOUND THEN
        verdict := 0;
        RETURN;
    END IF;
    SELECT coalesce(max(e.stream_version), 0) INTO version
    FROM ordain.events AS e WHERE e.stream_key = _stream.key;
    verdict := CASE
        WHEN version = 0 THEN 10
        WHEN _stream.deleted = 2 THEN 5
        WHEN _stream.deleted = 1 AND NOT _hard THEN 4
        WHEN _expected >= 0 AND _expected <> version THEN 7
        ELSE 0
    END;
    IF verdict <> 0 THEN
        RETURN;
    END IF;

    SELECT e.global_position, e.recorded_at INTO place, _previous
    FROM ordain.events AS e ORDER BY e.global_position DESC LIMIT 1;
    place := greatest(place, _floor) + 1;
    version := version + 1;
    INSERT INTO ordain.events (
        global_position, stream_key, stream_version, recorded_at, event_id, schema_version, event_type
    )
    VALUES (place, stream_key, version, greatest(clock_timestamp(), _previous), _tombstone, 1, '$deleted');
    UPDATE ordain.streams AS s SET deleted = CASE WHEN _hard THEN 2 ELSE 1 END WHERE s.key = stream_key;
    IF _hard THEN
        UPDATE ordain.log_head AS h SET generation = h.generation + 1, floor = greatest(h.floor, place) WHERE h.id = 1;
        DELETE FROM ordain.command_outcomes AS o WHERE o.stream = _name;
        DELETE FROM ordain.snapshots AS s WHERE s.stream_key = stream_key;
        INSERT INTO ordain.erasures (stream_key) VALUES (stream_key);
    END IF;
END
$$;

-- Removes up to `_limit` entries of erased streams; returns how many. Their last tombstones stay: they
-- keep the names closed and the head of the log present.
CREATE FUNCTION ordain.erase_1(_limit integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    _key bigint;
    _end bigint;
    _erased integer;
    _unlinked integer;
BEGIN
    SELECT r.stream_key INTO _key FROM ordain.erasures AS r
    ORDER BY r.stream_key LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        -- Another session may just have finished one.
        RETURN (SELECT count(*) FROM ordain.erasures);
    END IF;
    SELECT max(e.stream_version) INTO _end FROM ordain.events AS e WHERE e.stream_key = _key;
    PERFORM set_config('ordain_erasure.permit', (SELECT n.nspname FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = 'ordain.events'::regclass), true);
    WITH gone AS (
        DELETE FROM ordain.events AS e
        WHERE e.stream_key = _key AND e.stream_version < least(
            _end,
            (SELECT min(f.stream_version) FROM ordain.events AS f WHERE f.stream_key = _key) + _limit
        )
        RETURNING e.global_position, e.recorded_at
    )
    INSERT INTO ordain.erased (global_position, recorded_at) SELECT g.global_position, g.recorded_at FROM gone AS g;
    GET DIAGNOSTICS _erased = ROW_COUNT;
    PERFORM set_config('ordain_erasure.permit', '', true);
    DELETE FROM ordain.links AS l WHERE l.stream_key = _key AND l.target = ANY (ARRAY(
        SELECT o.target FROM ordain.links AS o WHERE o.stream_key = _key ORDER BY o.target LIMIT _limit - _erased
    ));
    GET DIAGNOSTICS _unlinked = ROW_COUNT;
    IF _erased + _unlinked < _limit THEN
        DELETE FROM ordain.erasures AS r WHERE r.stream_key = _key;
    END IF;
    RETURN greatest(_erased + _unlinked, 1);
END
$$;

-- Opens a soft-deleted stream again. Verdicts as in `delete_1`, besides 11: it is not deleted.
CREATE FUNCTION ordain.undelete_1(
    _lock_timeout_ms integer,
    _generation bigint,
    _name text,
    OUT verdict integer,
    OUT generation bigint,
    OUT version bigint,
    OUT entry uuid,
    OUT place bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    _stream ordain.streams;
BEGIN
    PERFORM ordain.take_order_lock_1(_lock_timeout_ms);
    SELECT h.generation INTO generation FROM ordain.log_head AS h WHERE h.id = 1;
    IF generation <> _generation THEN
        RETURN;
    END IF;
    SELECT s.* INTO _stream FROM ordain.streams AS s WHERE s.name = _name;
    SELECT e.stream_version, e.event_id, e.global_position INTO version, entry, place
    FROM ordain.events AS e WHERE e.stream_key = _stream.key ORDER BY e.stream_version DESC LIMIT 1;
    verdict := CASE
        WHEN _stream.key IS NULL THEN 10
        WHEN _stream.deleted = 2 THEN 5
        WHEN _stream.deleted = 0 THEN 11
        ELSE 0
    END;
    IF verdict = 0 THEN
        UPDATE ordain.streams AS s SET deleted = 0 WHERE s.key = _stream.key;
    END IF;
END
$$;

-- The highest position recorded at or before a time. Times ascend along the log, so the place is found by
-- halving; positions missing from `events` were erased, and their times stand in `erased`.
CREATE FUNCTION ordain.position_at_1(_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    _low bigint := 0;
    _high bigint;
    _middle bigint;
    _place bigint;
    _found timestamptz;
BEGIN
    SELECT coalesce(max(e.global_position), 0) INTO _high FROM ordain.events AS e;
    -- What is at or below `_low` is early enough, what is above `_high` is not.
    WHILE _low < _high LOOP
        _middle := _low + (_high - _low + 1) / 2;
        SELECT e.global_position, e.recorded_at INTO _place, _found FROM ordain.events AS e
        WHERE e.global_position >= _middle ORDER BY e.global_position LIMIT 1;
        IF _found <= _time THEN
            _low := _place;
        ELSE
            _high := _middle - 1;
        END IF;
    END LOOP;
    SELECT coalesce(max(e.global_position), 0) INTO _low FROM ordain.events AS e WHERE e.global_position <= _low;
    SELECT greatest(_low, (SELECT g.global_position FROM ordain.erased AS g
    WHERE g.recorded_at <= _time ORDER BY g.recorded_at DESC, g.global_position DESC LIMIT 1)) INTO _high;
    RETURN _high;
END
$$;
