//! The process instances in memory, within bounds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::instance::Instance;

/// The process instances in memory. Whatever is in it is stored as well.
#[derive(Debug)]
pub(super) struct Cache<P> {
    entries: HashMap<String, Entry<P>>,
    max: usize,
    idle: Duration,
    shrunk: Instant,
}

#[derive(Debug)]
struct Entry<P> {
    instance: Instance<P>,
    used: Instant,
}

impl<P> Cache<P> {
    pub(super) fn new(max: usize, idle: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            max,
            idle,
            shrunk: Instant::now(),
        }
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    pub(super) fn get(&mut self, id: &str) -> Option<&Instance<P>> {
        let entry = self.entries.get_mut(id)?;
        entry.used = Instant::now();
        Some(&entry.instance)
    }

    pub(super) fn put(&mut self, id: String, instance: Instance<P>) {
        let used = Instant::now();
        self.entries.insert(id, Entry { instance, used });
    }

    /// Puts out of memory what is too much, the longest unused first, and from time to time what is idle.
    pub(super) fn shrink(&mut self) {
        let now = Instant::now();
        let is_long_ago = now.duration_since(self.shrunk) >= self.idle / 4;
        if self.entries.len() <= self.max && !is_long_ago {
            return;
        }
        self.shrunk = now;
        self.entries
            .retain(|_, entry| now.duration_since(entry.used) < self.idle);
        if self.entries.len() <= self.max {
            return;
        }
        let mut used: Vec<_> = self.entries.values().map(|entry| entry.used).collect();
        // A quarter more than has to go, so that it is not done again for the next one.
        let going = self.entries.len() - self.max + self.max / 4;
        let going = going.min(used.len());
        let (_, last, _) = used.select_nth_unstable(going - 1);
        let last = *last;
        self.entries.retain(|_, entry| entry.used > last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process_manager::Scheduled;

    #[test]
    fn what_is_too_much_leaves_memory_the_longest_unused_first() {
        let mut cache = Cache::<Scheduled>::new(4, Duration::from_secs(60));
        for id in 0..6 {
            cache.put(id.to_string(), Instance::new());
            std::thread::sleep(Duration::from_millis(1));
        }
        cache.get("0");
        cache.shrink();
        assert!(cache.has("0") && cache.has("5"));
        assert!(!cache.has("1") && !cache.has("2"));
        assert!(cache.entries.len() <= 4);
    }

    #[test]
    fn what_is_idle_leaves_memory() {
        let mut cache = Cache::<Scheduled>::new(4, Duration::ZERO);
        cache.put("a".to_owned(), Instance::new());
        cache.shrink();
        assert!(!cache.has("a"));
    }
}
