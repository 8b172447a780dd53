//! The statements, and how they are handed to sqlx.

use std::sync::{Arc, LazyLock};

use ordain::store::SubscriptionKey;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite};

pub(crate) type Statement<'a> = Query<'a, Sqlite, SqliteArguments>;

macro_rules! statements {
    ($($name:ident = $($file:literal)+;)*) => {
        $(pub(crate) const $name: &str = concat!($(include_str!(concat!("sql/", $file, ".sql"))),+);)*
    };
}

statements! {
    BEGIN = "begin";
    BEGIN_AND_PROBE = "begin" "probe";
    COMMIT = "commit";
    ROLLBACK = "rollback";
    PROBE = "probe";
    TOUCH = "touch";
    CHECKPOINT = "checkpoint";
    IDENTITY = "identity";
    STORE_INFO = "store_info";
    INSERT_STORE_INFO = "insert_store_info";
    LINK_TARGETS = "link_targets";
    LINKED = "linked";
    SET_DELETED = "set_deleted";
    PERMIT_ERASURE = "permit_erasure";
    END_ERASURE = "end_erasure";
    TRACE_ERASURE = "trace_erasure";
    ERASE_EVENTS = "erase_events";
    ERASE_OUTCOMES = "erase_outcomes";
    RAISE_FLOOR = "raise_floor";
    FORGET_OUTCOMES = "forget_outcomes";
    RECORD_SNAPSHOT = "record_snapshot";
    READ_SNAPSHOT = "read_snapshot";
    DELETE_SNAPSHOT = "delete_snapshot";
    FIND_REPEAT = "find_repeat";
    HEAD = "head";
    POSITION_AT = "position_at";
    STREAM_HEAD = "stream_head";
    STREAM_INFO = "stream_info";
    READ_STREAM_FORWARD = "read_stream_forward";
    READ_STREAM_BACKWARD = "read_stream_backward";
    READ_ALL_FORWARD = "read_all_forward";
    READ_ALL_BACKWARD = "read_all_backward";
    LIST_STREAMS_ASCENDING = "list_streams_ascending";
    LIST_STREAMS_DESCENDING = "list_streams_descending";
    SUBSCRIPTIONS = "subscriptions";
    SUBSCRIPTION_STAND = "subscription_stand";
    PUT_SUBSCRIPTION = "put_subscription";
    FENCE_PARTITIONS = "fence_partitions";
    REPLACE_PARTITIONS = "replace_partitions";
    REMOVE_SUBSCRIPTION = "remove_subscription";
    KEEP_ALIVE = "keep_alive";
    CLAIM = "claim";
    RELEASE = "release";
    LEAVE = "leave";
    CHECK_PROGRESS = "check_progress";
    MOVE_PARTITION = "move_partition";
    SET_TROUBLE = "set_trouble";
    PUT_BLOCK = "put_block";
    DELETE_BLOCK = "delete_block";
    PUT_INSTANCE = "put_instance";
    DELETE_INSTANCE = "delete_instance";
    PUT_OUTGOING = "put_outgoing";
    DELETE_OUTGOING = "delete_outgoing";
    DELETE_OUTGOING_OF = "delete_outgoing_of";
    SETTLE_OUTGOING = "settle_outgoing";
    PUT_TIMER = "put_timer";
    DELETE_TIMER = "delete_timer";
    DELETE_TIMERS_OF = "delete_timers_of";
    BLOCKS = "blocks";
    REQUEST_BLOCKS = "request_blocks";
    INSTANCES = "instances";
    LIST_INSTANCES = "list_instances";
    LIST_INSTANCES_FINISHED = "list_instances_finished";
    OUTGOING = "outgoing";
    TIMERS_DUE = "timers_due";
    TIMERS = "timers";
    PRUNE = "prune";
    DATA_VERSION = "data_version";
}

/// A statement from a file.
pub(crate) fn statement<'a>(sql: &'static str) -> Statement<'a> {
    sqlx::query(sql)
}

/// A statement from a file, whose first parameters are a subscription's name and version.
pub(crate) fn of<'a>(sql: &'static str, subscription: &'a SubscriptionKey) -> Statement<'a> {
    statement(sql)
        .bind(&*subscription.name)
        .bind(i64::from(subscription.version))
}

/// An insert of many rows. There is one text for each power of two, so that few are prepared, and
/// any number of rows is written by few of them.
pub(crate) struct Insert {
    texts: [Arc<str>; Self::SIZES],
}

pub(crate) static INSERT_EVENTS: LazyLock<Insert> =
    LazyLock::new(|| Insert::new(include_str!("sql/insert_events.sql"), 12));
pub(crate) static INSERT_STREAMS: LazyLock<Insert> =
    LazyLock::new(|| Insert::new(include_str!("sql/insert_streams.sql"), 5));
pub(crate) static INSERT_OUTCOMES: LazyLock<Insert> =
    LazyLock::new(|| Insert::new(include_str!("sql/insert_outcomes.sql"), 4));

impl Insert {
    const SIZES: usize = 9;

    fn new(head: &str, columns: usize) -> Self {
        let row = format!("({})", vec!["?"; columns].join(", "));
        let text = |size: usize| format!("{head}{};", vec![row.as_str(); 1 << size].join(", "));
        Self {
            texts: std::array::from_fn(|size| text(size).into()),
        }
    }

    /// The longest statement for at most this many rows, which have to be at least one, and how many
    /// it takes.
    pub(crate) fn statement<'a>(&self, rows: usize) -> (usize, Statement<'a>) {
        let size = (rows.max(1).ilog2() as usize).min(Self::SIZES - 1);
        // The texts are files of this crate and question marks.
        let text = AssertSqlSafe(Arc::clone(&self.texts[size]));
        (1 << size, sqlx::query(text))
    }
}
