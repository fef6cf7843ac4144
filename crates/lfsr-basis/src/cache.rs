//! Tables that are built once a process, within a budget.
//!
//! Keys come from streams as well as from configurations, so the cache forgets: a hostile series of streams, each with parameters of
//! its own, never holds more than the budget.

use std::sync::{Arc, Mutex, PoisonError};

/// A small cache that drops what was used longest ago. A linear list: it holds a handful of tables.
#[derive(Debug)]
pub struct Cache<K, T> {
    /// Least recently used first.
    entries: Mutex<Vec<(K, Arc<T>, usize)>>,
    budget: usize,
}

impl<K: PartialEq + Copy, T> Cache<K, T> {
    /// An empty cache that keeps at most `budget` bytes alive.
    pub const fn new(budget: usize) -> Self {
        Self { entries: Mutex::new(Vec::new()), budget }
    }

    /// The table of `key`, of `bytes` bytes, built now where it is not at hand. A table larger than the budget is built and not kept.
    pub fn get(&self, key: K, bytes: usize, build: impl FnOnce() -> T) -> Arc<T> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = entries.iter().position(|entry| entry.0 == key) {
            let entry = entries.remove(index);
            let table = Arc::clone(&entry.1);
            entries.push(entry);
            return table;
        }
        // Built under the lock: callers that race for one table wait for it instead of building it twice.
        let table = Arc::new(build());
        if bytes <= self.budget {
            let mut held: usize = entries.iter().map(|entry| entry.2).sum::<usize>() + bytes;
            while held > self.budget {
                held -= entries.remove(0).2;
            }
            entries.push((key, Arc::clone(&table), bytes));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_and_the_least_recent_goes_first() {
        let cache = Cache::new(20);
        let built = std::cell::Cell::new(0);
        let get = |key: u32, bytes| {
            *cache.get(key, bytes, || {
                built.set(built.get() + 1);
                key * 10
            })
        };
        assert_eq!((get(1, 10), get(2, 10), get(1, 10), built.get()), (10, 20, 10, 2));
        assert_eq!((get(3, 10), built.get()), (30, 3));
        assert_eq!((get(1, 10), built.get()), (10, 3), "1 was used after 2");
        assert_eq!((get(2, 10), built.get()), (20, 4));
        assert_eq!((get(9, 21), get(9, 21), built.get()), (90, 90, 6), "too large to keep");
    }
}
