//! Listing streams.

use ordain::StoreError;
use ordain::store::{StreamList, StreamQuery, StreamSort};

use super::rows::{self, column, stream_id};
use super::stream::info_of;
use crate::readers::Readers;
use crate::sql;

pub(crate) async fn list_streams(
    readers: &Readers,
    query: &StreamQuery,
) -> Result<StreamList, StoreError> {
    let sql = if query.descending {
        sql::LIST_STREAMS_DESCENDING
    } else {
        sql::LIST_STREAMS_ASCENDING
    };
    let statement = sql::statement(sql)
        .bind(query.search.as_deref())
        .bind(query.category.as_deref())
        .bind(sort(query.sort))
        .bind(i64::from(query.page_size.max(1)))
        .bind(i64::try_from(query.offset()).unwrap_or(i64::MAX));
    let mut list = StreamList {
        streams: Vec::new(),
        total: 0,
    };
    for row in readers.fetch(statement).await? {
        match column::<Option<&str>>(&row, 0)? {
            None => list.total = rows::number(&row, 1)?,
            Some(name) => list.streams.push(info_of(&row, stream_id(name)?)?),
        }
    }
    Ok(list)
}

fn sort(sort: StreamSort) -> &'static str {
    match sort {
        StreamSort::Name => "name",
        StreamSort::Created => "created",
        StreamSort::Changed => "changed",
        StreamSort::Version => "version",
    }
}
