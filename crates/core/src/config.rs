//! The bounds of a running app.

use std::time::Duration;

use crate::app::StartError;

/// The bounds of a running app, all with defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How often a command is redone after a conflict; 10. A dispatch may say otherwise.
    pub retries: u32,
    /// How many instances of one aggregate stay in memory; 10,000. Instances at work count, and
    /// are never put out.
    pub instances_max: usize,
    /// How long an idle instance stays in memory; 10 minutes. An aggregate may say otherwise.
    pub instance_idle: Duration,
    /// How many commands may wait for one instance; 1,024. More are refused as overload.
    pub queue_max: usize,
    /// How many appends of one instance may be under way at once; 64.
    pub pipeline_depth: usize,
    /// How many events a load reads at once; 1,000.
    pub page: u32,
    /// How long a shutdown waits for what is under way; 5 seconds.
    pub drain: Duration,
    /// How long answers without events are remembered under the command's id; 30 days. Command
    /// ids that tell their time (UUID version 7) are refused when they are older.
    pub outcomes_kept: Duration,
    /// How often an append whose outcome is unknown is sent again before the caller is told; 5.
    /// The first pause is 10 ms, and each is twice the one before.
    pub resends: u32,
    /// How long this process's hold on a partition of a subscription lasts unless it is renewed; 10 seconds.
    /// After that long without a sign of life others take over. From 100 ms to a day.
    pub lease: Duration,
    /// How often the process gives a sign of life and looks how its subscriptions stand; 1 second, and at
    /// the most a third of `lease`.
    pub beat: Duration,
    /// How often the end of the log is looked at where nothing tells of new events; 1 second.
    pub poll: Duration,
    /// How long a dispatch waits for the subscriptions it was told to [wait for](crate::Dispatch::wait_for);
    /// 5 seconds.
    pub wait: Duration,
    /// How many snapshots are written at once; 4. One that is due beyond that waits for the next event.
    pub snapshot_writers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retries: 10,
            instances_max: 10_000,
            instance_idle: Duration::from_secs(600),
            queue_max: 1_024,
            pipeline_depth: 64,
            page: 1_000,
            drain: Duration::from_secs(5),
            outcomes_kept: Duration::from_secs(30 * 24 * 3_600),
            resends: 5,
            lease: Duration::from_secs(10),
            beat: Duration::from_secs(1),
            poll: Duration::from_secs(1),
            wait: Duration::from_secs(5),
            snapshot_writers: 4,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

/// ```
/// use std::time::Duration;
///
/// use ordain::Config;
///
/// let config = Config::new().retries(3).drain(Duration::from_secs(30));
/// assert_eq!(config.retries, 3);
/// ```
impl Config {
    /// The longest a lease can be: a day.
    pub const LEASE_MAX: Duration = Duration::from_secs(24 * 3_600);

    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        retries: u32,
        instances_max: usize,
        instance_idle: Duration,
        queue_max: usize,
        pipeline_depth: usize,
        page: u32,
        drain: Duration,
        outcomes_kept: Duration,
        resends: u32,
        lease: Duration,
        beat: Duration,
        poll: Duration,
        wait: Duration,
        snapshot_writers: usize,
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let counts = [
            ("instances_max", self.instances_max),
            ("queue_max", self.queue_max),
            ("pipeline_depth", self.pipeline_depth),
            ("page", self.page as usize),
            ("snapshot_writers", self.snapshot_writers),
        ];
        if let Some((option, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(StartError::Option {
                option,
                problem: "must be at least 1".into(),
            });
        }
        if self.pipeline_depth > self.queue_max {
            let problem = format!(
                "is {}, above queue_max ({})",
                self.pipeline_depth, self.queue_max
            );
            return Err(StartError::Option {
                option: "pipeline_depth",
                problem,
            });
        }
        if self.lease < Duration::from_millis(100) {
            return Err(StartError::Option {
                option: "lease",
                problem: "must be at least 100 ms".into(),
            });
        }
        if self.lease > Self::LEASE_MAX {
            return Err(StartError::Option {
                option: "lease",
                problem:
                    "must be at most a day: so long nobody takes over from a process that died"
                        .into(),
            });
        }
        let times = [("beat", self.beat), ("poll", self.poll)];
        if let Some((option, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(StartError::Option {
                option,
                problem: "must not be zero".into(),
            });
        }
        if self.outcomes_kept.is_zero() {
            let problem = "must not be zero, or repeated commands are not recognised".into();
            return Err(StartError::Option {
                option: "outcomes_kept",
                problem,
            });
        }
        Ok(())
    }
}
