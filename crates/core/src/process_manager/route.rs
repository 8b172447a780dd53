//! Which process instances an event is for.

/// Which process instances an event is for, and what it means to them.
///
/// Named twice for the same, an instance handles the event once. It may end an instance and begin it anew:
/// `Route::stop(id).and(Route::start(id))`.
///
/// ```
/// use ordain::Route;
///
/// let one: Route<String> = Route::start("t-1");
/// let many: Route<String> = Route::continue_all(["t-1", "t-2"]);
/// let both = Route::stop("t-1").and(Route::start("t-2").strict());
/// assert_eq!((one.len(), many.len(), both.len()), (1, 2, 2));
/// # let _: Route<String> = both;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Route<Id> {
    steps: Vec<(Id, Step)>,
}

/// What an event means to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    pub(crate) strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepKind {
    Start,
    Continue,
    Stop,
}

impl<Id> Route<Id> {
    /// For none.
    pub fn none() -> Self {
        Self { steps: Vec::new() }
    }

    /// For this instance, which begins with it unless it is there.
    ///
    /// One that has ended begins anew.
    pub fn start(id: impl Into<Id>) -> Self {
        Self::start_all([id])
    }

    /// For this instance, if it is there. Otherwise the event is passed over.
    pub fn continue_with(id: impl Into<Id>) -> Self {
        Self::continue_all([id])
    }

    /// For this instance, if it is there; it ends when it has handled it.
    pub fn stop(id: impl Into<Id>) -> Self {
        Self::stop_all([id])
    }

    /// As [`start`](Self::start), for several.
    pub fn start_all<I: Into<Id>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self::all(ids, StepKind::Start)
    }

    /// As [`continue_with`](Self::continue_with), for several.
    pub fn continue_all<I: Into<Id>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self::all(ids, StepKind::Continue)
    }

    /// As [`stop`](Self::stop), for several.
    pub fn stop_all<I: Into<Id>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self::all(ids, StepKind::Stop)
    }

    /// Has it fail to start an instance that is there, and to continue or stop one that is not.
    pub fn strict(mut self) -> Self {
        self.steps
            .iter_mut()
            .for_each(|(_, step)| step.strict = true);
        self
    }

    /// This one, then another.
    pub fn and(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self
    }

    /// How many instances it is for.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it is for none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The instances it is for.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.steps.iter().map(|(id, _)| id)
    }

    pub(crate) fn steps(self) -> impl Iterator<Item = (Id, Step)> {
        self.steps.into_iter()
    }

    fn all<I: Into<Id>>(ids: impl IntoIterator<Item = I>, kind: StepKind) -> Self {
        let step = Step {
            kind,
            strict: false,
        };
        let steps = ids.into_iter().map(|id| (id.into(), step));
        Self {
            steps: steps.collect(),
        }
    }
}
