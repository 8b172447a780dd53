//! How an app is doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::clock::Clock;

/// How an app is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it cannot do its work at the moment, if so. It goes on by itself when the reason goes.
    pub degraded: Option<Degraded>,
}

/// Where an app is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It takes commands.
    Running,
    /// It finishes what was begun and takes nothing more.
    Stopping,
    /// It has ended.
    Stopped,
}

/// Why an app cannot do its work at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degraded {
    /// The reason, for people.
    pub reason: String,
    /// Since when.
    pub since: OffsetDateTime,
}

impl Health {
    /// Whether the process should be left alone: only an app that has ended is not live.
    pub fn is_live(&self) -> bool {
        self.phase != Phase::Stopped
    }

    /// Whether commands should be sent here.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.degraded.is_none()
    }
}

/// Takes notes about an app's health and tells whoever watches.
#[derive(Debug)]
pub(crate) struct Monitor {
    clock: Arc<dyn Clock>,
    degraded: AtomicBool,
    health: watch::Sender<Health>,
}

impl Monitor {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let health = Health {
            phase: Phase::Running,
            degraded: None,
        };
        Self {
            clock,
            degraded: AtomicBool::new(false),
            health: watch::Sender::new(health),
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.health.borrow().phase
    }

    pub(crate) fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.health.send_modify(|health| health.phase = phase);
    }

    pub(crate) fn store_failed(&self, error: &dyn std::fmt::Display) {
        self.degraded.store(true, Ordering::Relaxed);
        self.health.send_if_modified(|health| {
            if health.degraded.is_some() {
                return false;
            }
            tracing::warn!(%error, "the store cannot work; commands fail until it recovers");
            health.degraded = Some(Degraded {
                reason: error.to_string(),
                since: self.clock.now(),
            });
            true
        });
    }

    pub(crate) fn store_worked(&self) {
        if !self.is_degraded() {
            return;
        }
        self.degraded.store(false, Ordering::Relaxed);
        self.health.send_if_modified(|health| {
            let recovered = health.degraded.take().is_some();
            if recovered {
                tracing::info!("the store works again");
            }
            recovered
        });
    }
}
