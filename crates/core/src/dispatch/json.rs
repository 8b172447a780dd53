//! Dispatch by name, for gateways.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::{
    Causation, CausationId, CommandId, CorrelationId, Deadline, Dispatch, DispatchError,
    DispatchOptions, ErasedReceipt, StreamVersion, option_setters,
};
use crate::app::App;
use crate::{Aggregate, BoxError, CommandSet, Routed};

/// A domain's refusal without its Rust type.
#[derive(thiserror::Error)]
#[error("{error}")]
pub struct Rejection {
    #[source]
    error: BoxError,
    json: Value,
}

impl Rejection {
    /// The refusal of an aggregate.
    pub fn new<E>(error: E) -> Self
    where
        E: std::error::Error + Serialize + Send + Sync + 'static,
    {
        let json = serde_json::to_value(&error).unwrap_or(Value::Null);
        Self {
            error: Box::new(error),
            json,
        }
    }

    /// The refusal, if its type is `E`.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }

    /// The refusal as JSON.
    pub fn to_json(&self) -> &Value {
        &self.json
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rejection({:?})", self.error)
    }
}

type Answer = Result<ErasedReceipt, DispatchError<Rejection>>;
type Route = fn(App, &str, Value, DispatchOptions) -> BoxFuture<'static, Answer>;

/// Which command names lead where.
#[derive(Default)]
pub(crate) struct Routes {
    by_name: HashMap<&'static str, (&'static str, Route)>,
}

impl Routes {
    /// Adds the commands of an aggregate; the first name that leads elsewhere already is an error,
    /// with both categories.
    pub(crate) fn add<A: Aggregate>(&mut self) -> Result<(), (&'static str, &'static str)> {
        let outside = A::outside_commands();
        let names = A::Command::NAMES.iter().copied();
        for name in names.chain(outside.iter().map(|route| route.name())) {
            let previous = self.by_name.insert(name, (A::CATEGORY, dispatch::<A>));
            if let Some((category, _)) = previous {
                return Err((name, category));
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<Route> {
        self.by_name.get(name).map(|(_, route)| *route)
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.by_name.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

fn dispatch<A: Aggregate>(
    app: App,
    name: &str,
    body: Value,
    options: DispatchOptions,
) -> BoxFuture<'static, Answer> {
    let command = match parse::<A>(name, body) {
        Ok(command) => command,
        Err(source) => {
            let name = name.to_owned();
            let error = DispatchError::MalformedCommand { name, source };
            return Box::pin(std::future::ready(Err(error)));
        }
    };
    let dispatch = Dispatch::<A>::with_options(app, command, options);
    Box::pin(async move {
        let receipt = dispatch
            .await
            .map_err(|error| error.map_rejection(Rejection::new))?;
        Ok(ErasedReceipt::of(receipt))
    })
}

fn parse<A: Aggregate>(name: &str, body: Value) -> Result<Routed<A>, serde_json::Error> {
    let outside = A::outside_commands()
        .into_iter()
        .find(|route| route.name() == name);
    if let Some(route) = outside {
        return route.from_json(body).map(Routed::Outside);
    }
    match A::Command::from_json(name, body) {
        Some(command) => command.map(Routed::Decide),
        None => Err(serde::de::Error::custom(
            "the aggregate's commands do not have this name",
        )),
    }
}

/// A command given by name and JSON on its way: say more about it, then await it.
pub struct DispatchJson {
    state: State,
}

enum State {
    Waiting(Box<Waiting>),
    Running(BoxFuture<'static, Answer>),
    Taken,
}

struct Waiting {
    app: App,
    name: String,
    body: Value,
    options: DispatchOptions,
}

impl DispatchJson {
    pub(crate) fn new(app: App, name: &str, body: Value) -> Self {
        let (name, options) = (name.to_owned(), DispatchOptions::default());
        Self {
            state: State::Waiting(Box::new(Waiting {
                app,
                name,
                body,
                options,
            })),
        }
    }

    option_setters!();

    /// Has its events settle the outgoing command of its id.
    pub(crate) fn settling(self) -> Self {
        self.set(|options| options.settles = true)
    }

    fn set(mut self, change: impl FnOnce(&mut DispatchOptions)) -> Self {
        if let State::Waiting(waiting) = &mut self.state {
            change(&mut waiting.options);
        }
        self
    }
}

impl Future for DispatchJson {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut running = match std::mem::replace(&mut self.state, State::Taken) {
            State::Waiting(waiting) => run(*waiting),
            State::Running(running) => running,
            State::Taken => panic!("the dispatch was polled after it had ended"),
        };
        let polled = running.as_mut().poll(context);
        if polled.is_pending() {
            self.state = State::Running(running);
        }
        polled
    }
}

fn run(waiting: Waiting) -> BoxFuture<'static, Answer> {
    let Waiting {
        app,
        name,
        body,
        options,
    } = waiting;
    let routes = Arc::clone(app.routes());
    match routes.find(&name) {
        Some(route) => route(app, &name, body, options),
        None => {
            let error = DispatchError::UnknownCommand {
                name,
                known: routes.names(),
            };
            Box::pin(std::future::ready(Err(error)))
        }
    }
}

impl fmt::Debug for DispatchJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Waiting(waiting) => write!(f, "DispatchJson({})", waiting.name),
            State::Running(_) => f.write_str("DispatchJson(running)"),
            State::Taken => f.write_str("DispatchJson(done)"),
        }
    }
}
