//! The statements of a store.

use crate::schema::SchemaName;
use crate::sql::Sql;

macro_rules! statements {
    ($($name:ident,)*) => {
        /// The statements of a store, with the name of its schema filled in.
        #[derive(Debug)]
        pub(crate) struct Statements {
            $(pub(crate) $name: Sql,)*
        }

        impl Statements {
            pub(crate) fn new(schema: &SchemaName) -> Self {
                Self {
                    $($name: Sql::new(include_str!(concat!("sql/", stringify!($name), ".sql")), schema),)*
                }
            }
        }
    };
}

statements! {
    append,
    append_one,
    append_settling,
    blocks,
    cancel_timer,
    change_subscriptions,
    claim,
    commit_progress,
    delete,
    delete_snapshot,
    erase,
    fence,
    find_repeat,
    forget_outcomes,
    head,
    instances,
    keep_alive,
    last_commit,
    leave,
    link,
    list_finished_instances,
    list_instances,
    list_open_instances,
    list_streams,
    load_stream,
    lock_holder,
    move_checkpoint,
    notify,
    outgoing,
    position_at,
    prune_blocks,
    prune_instances,
    read_all,
    read_snapshot,
    read_stream,
    record_snapshot,
    release,
    remove_subscription,
    request_blocks,
    set_timer,
    settle,
    stream_heads,
    stream_info,
    subscriptions,
    subscriptions_named,
    timers,
    timers_due,
    undelete,
    witness,
    witness_stands,
}
