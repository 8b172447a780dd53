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
    delete,
    delete_snapshot,
    erase,
    fence,
    find_repeat,
    forget_outcomes,
    head,
    link,
    list_streams,
    load_stream,
    lock_holder,
    position_at,
    read_all,
    read_snapshot,
    read_stream,
    record_snapshot,
    settle,
    stream_heads,
    stream_info,
    undelete,
    witness,
    witness_stands,
}
