//! Reading: every answer comes from one statement, so from one state of the database.

mod log;
mod rows;
mod single;
mod stream;
mod streams;

pub(crate) use self::log::{head, position_at, read_all};
pub(crate) use self::rows::{column, number};
pub(crate) use self::single::{
    delete_snapshot, find_repeat, forget_outcomes, read_snapshot, record_snapshot,
};
pub(crate) use self::stream::{load_stream, read_stream, stream_head, stream_info};
pub(crate) use self::streams::list_streams;

use crate::payload::Payload;
use crate::session::Readers;
use crate::statements::Statements;
use std::sync::Arc;

/// What reading needs.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) readers: Readers,
    pub(crate) statements: Arc<Statements>,
    pub(crate) payload: Payload,
}
