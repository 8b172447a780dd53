//! Read models in memory.

use std::any::{Any, type_name};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

type Value = Arc<dyn Any + Send + Sync>;
type Tables = HashMap<String, BTreeMap<String, Value>>;

/// The read models of a [`MemoryStore`](super::MemoryStore): tables with values under keys.
///
/// In a projection it is an open transaction: what is written can be read in it at once, and by others
/// when it is committed. [`MemoryStore::read_models`](super::MemoryStore::read_models) shows what is
/// committed. Tables need not be made. All values of a table should be of one type.
///
/// ```
/// use ordain::MemoryStore;
/// use ordain::store::ProjectionStore;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let mut work = store.begin_work().await?;
/// let models = MemoryStore::connection(&mut work);
/// models.put("balances", "ann", 10_u64);
/// models.put("balances", "bob", 20_u64);
/// assert_eq!(models.get::<u64>("balances", "ann"), Some(10));
/// assert_eq!(store.read_models().get::<u64>("balances", "ann"), None);
///
/// store.commit_change(work, Vec::new()).await?;
/// let balances = store.read_models().list::<u64>("balances");
/// assert_eq!(balances, [("ann".to_owned(), 10), ("bob".to_owned(), 20)]);
/// # Ok::<_, ordain::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct ReadModels {
    committed: Arc<RwLock<Tables>>,
    /// What this transaction has written; `None` is something removed.
    written: HashMap<String, BTreeMap<String, Option<Value>>>,
}

impl ReadModels {
    /// A transaction on the same tables that has written nothing.
    pub(super) fn begin(&self) -> Self {
        Self {
            committed: Arc::clone(&self.committed),
            written: HashMap::new(),
        }
    }

    /// Has everybody see what was written.
    pub(super) fn commit(self) {
        let mut tables = self
            .committed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (name, written) in self.written {
            let table = tables.entry(name).or_default();
            apply(table, written);
        }
    }

    /// The value under a key.
    ///
    /// # Panics
    /// If the value is of another type, which is a mistake of the program.
    #[track_caller]
    pub fn get<V: Clone + 'static>(&self, table: &str, key: &str) -> Option<V> {
        let value = self.find(table, key)?;
        Some(typed(&value, table, key))
    }

    /// Keeps a value under a key, in place of the one before.
    pub fn put<V: Send + Sync + 'static>(&mut self, table: &str, key: impl Into<String>, value: V) {
        self.write(table, key.into(), Some(Arc::new(value)));
    }

    /// Removes the value under a key, if there is one.
    pub fn remove(&mut self, table: &str, key: &str) {
        self.write(table, key.to_owned(), None);
    }

    /// Removes all values of a table.
    pub fn clear(&mut self, table: &str) {
        let keys: Vec<_> = self.all(table).into_keys().collect();
        for key in keys {
            self.write(table, key, None);
        }
    }

    /// All keys and values of a table, by key.
    ///
    /// # Panics
    /// If a value is of another type, which is a mistake of the program.
    #[track_caller]
    pub fn list<V: Clone + 'static>(&self, table: &str) -> Vec<(String, V)> {
        let mut list = Vec::new();
        for (key, value) in self.all(table) {
            let value = typed(&value, table, &key);
            list.push((key, value));
        }
        list
    }

    fn find(&self, table: &str, key: &str) -> Option<Value> {
        if let Some(value) = self.written.get(table).and_then(|table| table.get(key)) {
            return value.clone();
        }
        let tables = self
            .committed
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        tables.get(table)?.get(key).cloned()
    }

    fn all(&self, table: &str) -> BTreeMap<String, Value> {
        let tables = self
            .committed
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all = tables.get(table).cloned().unwrap_or_default();
        drop(tables);
        if let Some(written) = self.written.get(table) {
            apply(&mut all, written.clone());
        }
        all
    }

    fn write(&mut self, table: &str, key: String, value: Option<Value>) {
        match self.written.get_mut(table) {
            Some(written) => drop(written.insert(key, value)),
            None => {
                let written = BTreeMap::from([(key, value)]);
                self.written.insert(table.to_owned(), written);
            }
        }
    }
}

impl fmt::Debug for ReadModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadModels").finish_non_exhaustive()
    }
}

fn apply(table: &mut BTreeMap<String, Value>, written: BTreeMap<String, Option<Value>>) {
    for (key, value) in written {
        match value {
            Some(value) => drop(table.insert(key, value)),
            None => drop(table.remove(&key)),
        }
    }
}

#[track_caller]
fn typed<V: Clone + 'static>(value: &Value, table: &str, key: &str) -> V {
    let Some(value) = value.downcast_ref::<V>() else {
        let wanted = type_name::<V>();
        panic!("the value of `{key}` in the read model `{table}` is not of the type {wanted}");
    };
    value.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_sees_what_it_has_written() {
        let committed = ReadModels::default();
        let mut before = committed.begin();
        before.put("balances", "ann", 1_u64);
        before.put("balances", "bob", 2_u64);
        before.commit();

        let mut models = committed.begin();
        models.remove("balances", "ann");
        models.put("balances", "cid", 3_u64);
        assert_eq!(models.get::<u64>("balances", "ann"), None);
        let seen = [("bob".to_owned(), 2), ("cid".to_owned(), 3)];
        assert_eq!(models.list::<u64>("balances"), seen);
        assert_eq!(committed.get::<u64>("balances", "ann"), Some(1));

        models.clear("balances");
        models.put("balances", "dan", 4_u64);
        models.commit();
        assert_eq!(
            committed.list::<u64>("balances"),
            [("dan".to_owned(), 4_u64)]
        );
    }

    #[test]
    #[should_panic(expected = "the value of `ann` in the read model `balances`")]
    fn a_value_of_another_type_is_a_mistake() {
        let mut models = ReadModels::default();
        models.put("balances", "ann", 1_u64);
        models.get::<i64>("balances", "ann");
    }
}
