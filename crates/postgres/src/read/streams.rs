//! Listing streams.

use ordain::StoreError;
use ordain::store::{StreamInfo, StreamList, StreamQuery, StreamSort};
use sqlx::postgres::PgRow;

use super::Reader;
use super::rows::{self, column, deletion, stream_id};

pub(crate) async fn list_streams(
    reader: &Reader,
    query: &StreamQuery,
) -> Result<StreamList, StoreError> {
    let statement = || {
        let statement = reader.statements.list_streams.query();
        statement
            .bind(query.search.clone())
            .bind(query.category.clone())
            .bind(sorted_by(query.sort))
            .bind(query.descending)
            .bind(i64::from(query.page_size.max(1)))
            .bind(i64::try_from(query.offset()).unwrap_or(i64::MAX))
    };
    let rows = reader.readers.fetch(statement).await?;
    let (mut total, mut streams) = (0, Vec::with_capacity(rows.len()));
    for row in &rows {
        match column::<Option<&str>>(row, 0)? {
            None => total = rows::number(row, 1)?,
            Some(name) => streams.push(info(row, name)?),
        }
    }
    Ok(StreamList { streams, total })
}

fn sorted_by(sort: StreamSort) -> &'static str {
    match sort {
        StreamSort::Name => "name",
        StreamSort::Created => "created",
        StreamSort::Changed => "changed",
        StreamSort::Version => "version",
    }
}

fn info(row: &PgRow, name: &str) -> Result<StreamInfo, StoreError> {
    Ok(StreamInfo::new(
        stream_id(name)?,
        rows::number(row, 1)?.into(),
        column(row, 2)?,
        column(row, 3)?,
        deletion(column::<i16>(row, 4)?.into())?,
    ))
}
