//! Reading: every answer comes from one statement, so from one state of the database.

mod log;
mod rows;
mod single;
mod stream;
mod streams;

pub(crate) use self::log::{head, position_at, read_all};
pub(crate) use self::rows::{column, deletion, event_id, number, uuid};
pub(crate) use self::single::{find_repeat, read_snapshot};
pub(crate) use self::stream::{read_stream, stream_head, stream_info};
pub(crate) use self::streams::list_streams;
