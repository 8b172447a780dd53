//! How a process manager works, and its bounds.

use std::time::Duration;

use crate::subscription::SubscriptionOptions;

/// How a process manager works, all with defaults.
///
/// | option | default | |
/// |---|---|---|
/// | `subscription` | the defaults of [`SubscriptionOptions`] | how it reads events, and its attempts and pauses |
/// | `dispatches` | 64 | commands under way at once, of different instances |
/// | `outgoing_max` | 10,000 | commands that are not settled; beyond that it reads no more events, and fires no timers |
/// | `instances_max` | 10,000 | instances in memory |
/// | `instance_idle` | 10 minutes | how long an instance that nothing happens to stays in memory |
/// | `finished_kept` | 7 days | how long instances that have ended are kept |
/// | `timer_poll` | 1 s | how often it looks for timers, at the least |
/// | `reissue` | no | whether replayed events have commands issued again |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// How it reads events, and its attempts and pauses. Of its bounds, `blocked_max` holds for instances that
    /// wait for their commands, or for another attempt, too: beyond that it reads no more events.
    pub subscription: SubscriptionOptions,
    /// How many commands are under way at once, of different instances; 64.
    pub dispatches: usize,
    /// How many commands may be unsettled; 10,000. Beyond that it reads no more events, and fires no timers, until
    /// there is room for some.
    pub outgoing_max: usize,
    /// How many instances stay in memory; 10,000.
    pub instances_max: usize,
    /// How long an instance that nothing happens to stays in memory; 10 minutes.
    pub instance_idle: Duration,
    /// How long instances that have ended are kept; 7 days.
    pub finished_kept: Duration,
    /// How often it looks for timers, at the least; 1 second.
    pub timer_poll: Duration,
    /// Whether events that were handled before a reset, or by an older version, have commands issued again; not
    /// unless asked. They have the same ids, so that what has taken effect does not again.
    pub reissue: bool,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self {
            subscription: SubscriptionOptions::default(),
            dispatches: 64,
            outgoing_max: 10_000,
            instances_max: 10_000,
            instance_idle: Duration::from_secs(600),
            finished_kept: Duration::from_secs(7 * 24 * 3_600),
            timer_poll: Duration::from_secs(1),
            reissue: false,
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

impl ProcessOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        subscription: SubscriptionOptions,
        dispatches: usize,
        outgoing_max: usize,
        instances_max: usize,
        instance_idle: Duration,
        finished_kept: Duration,
        timer_poll: Duration,
        reissue: bool,
    }

    /// The option that cannot be, and why.
    pub(crate) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let counts = [
            ("dispatches", self.dispatches),
            ("outgoing_max", self.outgoing_max),
            ("instances_max", self.instances_max),
            ("blocked_max", self.subscription.blocked_max),
        ];
        if let Some((option, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Some((option, "must be at least 1"));
        }
        if self.timer_poll.is_zero() {
            return Some(("timer_poll", "must not be zero"));
        }
        None
    }
}
