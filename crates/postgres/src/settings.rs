//! Options that have been checked.

use std::time::Duration;

use ordain::store::Limits;
use ordain::{Codec, StoreError};

use crate::connect::Source;
use crate::options::PostgresOptions;
use crate::payload::Payload;
use crate::schema::SchemaName;

/// Options that have been checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) schema: SchemaName,
    pub(crate) payload: Payload,
    pub(crate) codec: Codec,
    pub(crate) hard_deletes: bool,
    pub(crate) limits: Limits,
    pub(crate) pool_size: u32,
    pub(crate) idle_min: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    /// Whether this side has to keep the statement timeout, since the session does not.
    pub(crate) client_deadline: bool,
    pub(crate) order_lock_timeout: Duration,
    pub(crate) outage_timeout: Duration,
    pub(crate) migration_timeout: Duration,
    pub(crate) pooled: bool,
    pub(crate) migrate_on_connect: bool,
    pub(crate) allow_fsync_off: bool,
    pub(crate) allow_synchronous_commit_off: bool,
    pub(crate) batch_requests_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) queue_len: usize,
    pub(crate) streams_cached: usize,
    pub(crate) work_idle_timeout: Duration,
    pub(crate) notify: bool,
    pub(crate) notify_interval: Duration,
}

impl Settings {
    pub(crate) fn order_lock_timeout_ms(&self) -> i32 {
        i32::try_from(self.order_lock_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Checks the options.
    pub(crate) fn check(options: PostgresOptions) -> Result<(Self, Source), StoreError> {
        if let Some(problem) = &options.problem {
            return Err(refused(
                problem,
                "see the documentation of `PostgresOptions`",
            ));
        }
        let Some(source) = options.source.clone() else {
            return Err(refused(
                "no server is named",
                "name one, by a url for instance",
            ));
        };
        source.check(options.pooled)?;
        check_pool(&options, &source)?;
        check_payload(&options)?;
        check_times(&options)?;
        check_sizes(&options)?;
        let schema = SchemaName::new(&options.schema)?;
        Ok((Self::filled_in(options, schema, &source), source))
    }

    fn filled_in(options: PostgresOptions, schema: SchemaName, source: &Source) -> Self {
        let acquire_timeout = match source {
            Source::Pool(pool) => pool.options().get_acquire_timeout(),
            _ => options.acquire_timeout.unwrap_or(Duration::from_secs(10)),
        };
        Self {
            schema,
            payload: options.payload,
            codec: options.codec,
            hard_deletes: options.hard_deletes,
            limits: options.limits,
            pool_size: options.pool_size.unwrap_or(10),
            idle_min: options.idle_min.unwrap_or(0),
            acquire_timeout,
            statement_timeout: options.statement_timeout,
            client_deadline: options.pooled || matches!(source, Source::Pool(_)),
            order_lock_timeout: options.order_lock_timeout,
            outage_timeout: options.outage_timeout,
            migration_timeout: options.migration_timeout,
            pooled: options.pooled,
            migrate_on_connect: options.migrate_on_connect,
            allow_fsync_off: options.allow_fsync_off,
            allow_synchronous_commit_off: options.allow_synchronous_commit_off,
            batch_requests_max: options.batch_requests_max,
            batch_bytes_max: options.batch_bytes_max,
            queue_len: options.queue_len,
            streams_cached: options.streams_cached,
            work_idle_timeout: options.work_idle_timeout,
            notify: options.notify,
            notify_interval: options.notify_interval,
        }
    }
}

fn check_pool(options: &PostgresOptions, source: &Source) -> Result<(), StoreError> {
    let told = options.pool_size.is_some()
        || options.idle_min.is_some()
        || options.acquire_timeout.is_some();
    if told && matches!(source, Source::Pool(_)) {
        let problem = "the size and the acquire timeout of the caller's pool cannot be told here";
        return Err(refused(problem, "tell the pool"));
    }
    let size = options.pool_size.unwrap_or(10);
    if options.idle_min.unwrap_or(0) > size {
        return Err(refused(
            "`idle_min` is larger than `pool_size`",
            "keep fewer connections, or allow more",
        ));
    }
    Ok(())
}

fn check_payload(options: &PostgresOptions) -> Result<(), StoreError> {
    if options.payload == Payload::Bytea || options.codec.is_json() {
        return Ok(());
    }
    let problem = format!(
        "a payload of type `{}` cannot hold what the codec `{}` writes",
        options.payload,
        options.codec.name()
    );
    Err(refused(&problem, "choose `Payload::Bytea`"))
}

fn check_times(options: &PostgresOptions) -> Result<(), StoreError> {
    let times = [
        ("acquire_timeout", options.acquire_timeout),
        ("statement_timeout", Some(options.statement_timeout)),
        ("order_lock_timeout", Some(options.order_lock_timeout)),
        ("outage_timeout", Some(options.outage_timeout)),
        ("migration_timeout", Some(options.migration_timeout)),
        ("work_idle_timeout", Some(options.work_idle_timeout)),
        ("notify_interval", Some(options.notify_interval)),
    ];
    let range = Duration::from_millis(1)..=Duration::from_millis(i32::MAX as u64);
    let unusable = |(_, time): &&(_, Option<Duration>)| time.is_some_and(|t| !range.contains(&t));
    if let Some((name, _)) = times.iter().find(unusable) {
        let problem = format!("`{name}` is shorter than 1 ms or longer than 24 days");
        return Err(refused(&problem, "choose another time"));
    }
    if options.order_lock_timeout >= options.statement_timeout {
        return Err(refused(
            "`order_lock_timeout` is not shorter than `statement_timeout`, which would end the wait",
            "shorten the one or lengthen the other",
        ));
    }
    Ok(())
}

fn check_sizes(options: &PostgresOptions) -> Result<(), StoreError> {
    let sizes = [
        ("pool_size", options.pool_size != Some(0)),
        ("batch_requests", options.batch_requests_max > 0),
        ("queue_len", options.queue_len > 0),
    ];
    match sizes.iter().find(|(_, usable)| !usable) {
        Some((name, _)) => Err(refused(&format!("`{name}` is 0"), "make it at least 1")),
        None => Ok(()),
    }
}

/// The options cannot be used.
pub(crate) fn refused(problem: &str, advice: &str) -> StoreError {
    StoreError::Incompatible {
        problem: problem.into(),
        advice: advice.into(),
    }
}
