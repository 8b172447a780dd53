//! Where connections come from.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use ordain::{BoxError, StoreError};
use sqlx::postgres::{PgConnectOptions, PgPool};

use crate::settings::refused;
use crate::url;

/// Where connections come from.
#[derive(Clone)]
pub(crate) enum Source {
    Servers(Vec<PgConnectOptions>),
    Hook(Hook),
    Pool(PgPool),
}

type Call = dyn Fn() -> BoxFuture<'static, Result<PgConnectOptions, BoxError>> + Send + Sync;

/// A closure that says where the primary is.
#[derive(Clone)]
pub(crate) struct Hook(Arc<Call>);

impl Hook {
    pub(crate) fn new<F, R>(hook: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<PgConnectOptions, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(hook())))
    }

    pub(crate) async fn call(&self) -> Result<PgConnectOptions, BoxError> {
        (self.0)().await
    }
}

impl Source {
    /// The servers that a url names, which has no options of a store.
    pub(crate) fn direct(url: &str) -> Result<Self, StoreError> {
        let advice = "name the server itself, with options of the connection only";
        let url = url::parse(url).map_err(|problem| refused(&problem, advice))?;
        if url.own != url::Own::default() {
            return Err(refused("`listen_url` has options of a store", advice));
        }
        let source = Self::Servers(url.servers);
        source.check(false)?;
        Ok(source)
    }

    /// Whether the primary may be elsewhere after a loss.
    pub(crate) fn moves(&self) -> bool {
        match self {
            Self::Servers(servers) => servers.len() > 1,
            Self::Hook(_) => true,
            Self::Pool(_) => false,
        }
    }

    pub(crate) fn check(&self, pooled: bool) -> Result<(), StoreError> {
        match self {
            Self::Servers(servers) if servers.is_empty() => {
                Err(refused("the list of servers is empty", "name one"))
            }
            Self::Servers(servers) => servers.iter().try_for_each(|it| check_startup(it, pooled)),
            Self::Pool(pool) if pool.options().get_max_connections() < 2 => Err(refused(
                "the pool has less than 2 connections, and the store keeps one for appending",
                "allow it more connections",
            )),
            Self::Hook(_) | Self::Pool(_) => Ok(()),
        }
    }
}

/// Checks what a session is told when it starts.
pub(super) fn check_startup(server: &PgConnectOptions, pooled: bool) -> Result<(), StoreError> {
    let Some(options) = server.get_options() else {
        return Ok(());
    };
    if pooled {
        return Err(refused(
            "in pooled mode a session cannot be given `options`",
            "remove them from the url and from the environment's `PGOPTIONS`",
        ));
    }
    if options.contains("statement_timeout") {
        return Err(refused(
            "`statement_timeout` is told by the `options` of the session",
            "tell it by the option `statement_timeout` of the store",
        ));
    }
    Ok(())
}

/// Where a server is, without who logs in.
pub(super) fn place(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(socket) => format!("{}:{}", socket.display(), server.get_port()),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Servers(servers) => f.debug_list().entries(servers.iter().map(place)).finish(),
            Self::Hook(_) => f.write_str("Hook"),
            Self::Pool(pool) => pool.fmt(f),
        }
    }
}
