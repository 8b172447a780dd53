//! What a caller may say about one dispatch.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::{CausationId, CommandId, CorrelationId, Metadata, StreamVersion};

/// What a caller said about one dispatch.
#[derive(Debug, Clone)]
pub(crate) struct DispatchOptions {
    pub(crate) command_id: Option<CommandId>,
    pub(crate) correlation_id: Option<CorrelationId>,
    pub(crate) causation: Causation,
    /// Shared, and the same for all who say nothing.
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) expected: Option<StreamVersion>,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) retries: Option<u32>,
    pub(crate) wait_for: Vec<String>,
    pub(crate) wait: Option<Duration>,
    /// Whether it is the outgoing command of a process manager, which its events settle.
    pub(crate) settles: bool,
}

impl Default for DispatchOptions {
    fn default() -> Self {
        static NOTHING: LazyLock<Arc<Metadata>> = LazyLock::new(Arc::default);
        Self {
            command_id: None,
            correlation_id: None,
            causation: Causation::Command,
            metadata: Arc::clone(&NOTHING),
            expected: None,
            deadline: None,
            retries: None,
            wait_for: Vec::new(),
            wait: None,
            settles: false,
        }
    }
}

impl DispatchOptions {
    pub(crate) fn metadata_mut(&mut self) -> &mut Metadata {
        Arc::make_mut(&mut self.metadata)
    }
}

/// What the events name as their cause.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Causation {
    Command,
    Given(CausationId),
    None,
}

/// Until when the events must be appended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deadline {
    At(Instant),
    Within(Duration),
}

impl Deadline {
    pub(crate) fn at(self, now: Instant) -> Option<Instant> {
        match self {
            Self::At(instant) => Some(instant),
            Self::Within(duration) => now.checked_add(duration),
        }
    }
}

impl Causation {
    pub(crate) fn id(self, command_id: CommandId) -> Option<CausationId> {
        match self {
            Self::Command => Some(command_id.into()),
            Self::Given(id) => Some(id),
            Self::None => None,
        }
    }
}

/// The setters that every dispatch has; each does nothing once the dispatch was polled.
macro_rules! option_setters {
    () => {
        /// The command's id, under which it takes effect once; a fresh one unless told.
        ///
        /// With an id given, an answer without events is remembered too.
        #[must_use]
        pub fn command_id(self, id: CommandId) -> Self {
            self.set(|options| options.command_id = Some(id))
        }

        /// The piece of business it belongs to; the command's own id unless told.
        #[must_use]
        pub fn correlation_id(self, id: impl Into<CorrelationId>) -> Self {
            let id = id.into();
            self.set(|options| options.correlation_id = Some(id))
        }

        /// What caused the command; the events name the command's own id unless told.
        #[must_use]
        pub fn causation_id(self, id: impl Into<CausationId>) -> Self {
            let id = id.into();
            self.set(|options| options.causation = Causation::Given(id))
        }

        /// Has the events name no cause.
        #[must_use]
        pub fn without_causation(self) -> Self {
            self.set(|options| options.causation = Causation::None)
        }

        /// Who gives the command.
        #[must_use]
        pub fn actor(self, actor: impl Into<String>) -> Self {
            let actor = actor.into();
            self.set(|options| options.metadata_mut().actor = Some(actor))
        }

        /// On whose behalf, in a system with many tenants.
        #[must_use]
        pub fn tenant(self, tenant: impl Into<String>) -> Self {
            let tenant = tenant.into();
            self.set(|options| options.metadata_mut().tenant = Some(tenant))
        }

        /// When it happened in the world, where that differs from now.
        #[must_use]
        pub fn occurred_at(self, time: time::OffsetDateTime) -> Self {
            self.set(|options| options.metadata_mut().occurred_at = Some(time))
        }

        /// Stores this with every event.
        #[must_use]
        pub fn metadata(self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
            let (key, value) = (key.into(), value.into());
            self.set(|options| drop(options.metadata_mut().custom.insert(key, value)))
        }

        /// Has the command fail with a conflict unless the aggregate is at this version, or has
        /// changed since only by events that it [tolerates](crate::Aggregate::tolerates).
        #[must_use]
        pub fn expect_version(self, version: impl Into<StreamVersion>) -> Self {
            let version = version.into();
            self.set(|options| options.expected = Some(version))
        }

        /// Has the command fail if its events are not on their way to the store by then.
        ///
        /// Once they are, the answer is what became of them, however late.
        #[must_use]
        pub fn deadline(self, at: std::time::Instant) -> Self {
            self.set(|options| options.deadline = Some(Deadline::At(at)))
        }

        /// A [`deadline`](Self::deadline) from the moment it is first polled.
        #[must_use]
        pub fn within(self, duration: std::time::Duration) -> Self {
            self.set(|options| options.deadline = Some(Deadline::Within(duration)))
        }

        /// Answers when these subscriptions have handled the command's events, or everything up to now if there
        /// are none.
        ///
        /// It holds whichever process does the handling. Where events are ordered by something else than their
        /// streams, only a process that has the subscription's code knows behind which dead letter one stands.
        /// If they do not come so far in time, the answer is
        /// [`DispatchError::Unhandled`](crate::DispatchError::Unhandled), and the events are stored all the same.
        #[must_use]
        pub fn wait_for<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
            let names: Vec<String> = names.into_iter().map(Into::into).collect();
            self.set(|options| options.wait_for.extend(names))
        }

        /// How long it waits for subscriptions; as the app's option says unless told.
        #[must_use]
        pub fn wait_at_most(self, duration: std::time::Duration) -> Self {
            self.set(|options| options.wait = Some(duration))
        }

        /// How often the command is redone after a conflict; as the app's option says unless told.
        #[must_use]
        pub fn retries(self, retries: u32) -> Self {
            self.set(|options| options.retries = Some(retries))
        }
    };
}

pub(crate) use option_setters;
