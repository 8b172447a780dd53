//! Jobs that wait for each other, because they need the same things.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Jobs in the order in which they came: one can begin when those before it that need one of the same things
/// have ended.
pub(crate) struct Queues<K, J> {
    /// By thing, the jobs that need it; the first is under way, or waits for another thing.
    queues: HashMap<K, VecDeque<u64>>,
    waiting: HashMap<u64, (Vec<K>, J)>,
    last: u64,
}

impl<K: Clone + Eq + Hash, J> Queues<K, J> {
    pub(crate) fn new() -> Self {
        Self {
            queues: HashMap::new(),
            waiting: HashMap::new(),
            last: 0,
        }
    }

    /// How many jobs cannot begin yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a job; gives it back if it can begin at once.
    pub(crate) fn add(&mut self, keys: Vec<K>, job: J) -> Vec<J> {
        self.last += 1;
        for key in &keys {
            let queue = self.queues.entry(key.clone()).or_default();
            queue.push_back(self.last);
        }
        self.waiting.insert(self.last, (keys, job));
        self.begin(self.last).into_iter().collect()
    }

    /// Takes note that the job under way on these things has ended; gives those that can begin now.
    pub(crate) fn remove(&mut self, keys: &[K]) -> Vec<J> {
        let mut next = Vec::new();
        for key in keys {
            let Some(queue) = self.queues.get_mut(key) else {
                continue;
            };
            queue.pop_front();
            match queue.front() {
                Some(number) => next.push(*number),
                None => drop(self.queues.remove(key)),
            }
        }
        next.into_iter()
            .filter_map(|number| self.begin(number))
            .collect()
    }

    /// The job of this number, if nothing it needs is taken.
    fn begin(&mut self, number: u64) -> Option<J> {
        let (keys, _) = self.waiting.get(&number)?;
        let is_first = |key| self.queues.get(key).and_then(VecDeque::front) == Some(&number);
        if !keys.iter().all(is_first) {
            return None;
        }
        self.waiting.remove(&number).map(|(_, job)| job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_begins_when_all_it_needs_is_free() {
        let mut queues = Queues::<_, u8>::new();
        assert_eq!(queues.add(vec!["a"], 1), [1]);
        assert_eq!(queues.add(vec!["b"], 2), [2]);
        assert_eq!(queues.add(vec!["a", "b"], 3).len(), 0);
        assert_eq!(queues.add(vec!["b"], 4).len(), 0);
        assert_eq!(queues.add(vec!["c"], 5), [5]);
        assert_eq!(queues.waiting(), 2);
        assert_eq!(queues.remove(&["a"]).len(), 0);
        assert_eq!(queues.remove(&["b"]), [3]);
        assert_eq!(queues.remove(&["a", "b"]), [4]);
        assert_eq!(queues.remove(&["b"]).len(), 0);
        assert_eq!((queues.waiting(), queues.queues.len()), (0, 1));
    }
}
