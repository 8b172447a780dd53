//! Dead letters that an operator has tried again, or left out.

use std::collections::{BTreeMap, BTreeSet};

use ordain::store::SubscriptionState;
use ordain::subscription::{DeadLetter, SubscriptionStatus};

use super::super::super::SubscriptionFixture;
use super::super::support::find;
use super::world::World;

/// What an operator has had left out.
#[derive(Debug)]
pub(super) struct Discard {
    name: &'static str,
    version: u32,
    /// The ordering key, or the instance.
    key: String,
    what: LeftOut,
    /// Whether nothing can have come before it, and it was not asked for again afterwards.
    is_certain: bool,
}

#[derive(Debug)]
enum LeftOut {
    Event {
        position: u64,
        /// How much was handled when it was asked for.
        noted: usize,
        /// Under which numbers the partitions were worked on then, at the least.
        epochs: Vec<u64>,
    },
    Command(String),
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn retry(&mut self, name: &'static str, which: Option<u64>) {
        let letters = self.letters(name).await;
        match which {
            Some(which) => {
                if let Some(letter) = pick(&letters, which) {
                    self.retry_one(name, &letter.key, &letters).await;
                }
            }
            None => {
                self.doubt_those_of(name, letters.iter());
                drop(self.operator.subscriptions().retry_all(name).await);
            }
        }
    }

    /// Asks for another attempt of a key, of all versions.
    pub(super) async fn retry_one(
        &mut self,
        name: &'static str,
        key: &str,
        letters: &[DeadLetter],
    ) {
        let of_key = letters.iter().filter(|letter| letter.key == key);
        self.doubt_those_of(name, of_key);
        drop(self.operator.subscriptions().retry(name, key).await);
    }

    pub(super) async fn discard(&mut self, name: &'static str, which: Option<u64>) {
        // How it stands comes first: a letter that it has passed by then is not one from before a reset.
        let statuses = self.statuses().await;
        let working =
            |it: &&SubscriptionStatus| it.name == name && it.state != SubscriptionState::Retired;
        let working: Vec<_> = statuses.iter().filter(working).collect();
        let letters = self.letters(name).await;
        let keys: BTreeSet<_> = match which {
            Some(which) => pick(&letters, which)
                .into_iter()
                .map(|it| &it.key)
                .collect(),
            None => letters.iter().map(|it| &it.key).collect(),
        };
        for key in keys {
            let of_key = letters.iter().filter(|letter| letter.key == *key);
            let of_key: Vec<_> = of_key
                .filter_map(|letter| Some((letter, passed(&working, letter)?)))
                .collect();
            // All versions are asked: one of them might get a letter of this key in between.
            if of_key.len() == working.len() {
                self.discard_one(name, key, &of_key).await;
            }
        }
    }

    async fn discard_one(
        &mut self,
        name: &'static str,
        key: &str,
        letters: &[(&DeadLetter, &SubscriptionStatus)],
    ) {
        let mut discards = Vec::new();
        for (letter, status) in letters {
            let is_certain = !letter.is_requested;
            let (what, is_certain) = match name {
                "probe" => match self.failed_command(key).await {
                    // Where something has halted, the command may still be on its way.
                    Some(text) => (LeftOut::Command(text), is_certain && !self.has_frozen),
                    None => return,
                },
                _ => (self.failed_event(name, letter, status), is_certain),
            };
            discards.push(Discard {
                name,
                version: letter.version,
                key: key.to_owned(),
                what,
                is_certain,
            });
        }
        let discarded = self.operator.subscriptions().discard(name, key).await;
        if discarded.is_ok_and(|discarded| discarded) {
            self.discards.extend(discards);
        }
    }

    fn failed_event(
        &self,
        name: &str,
        letter: &DeadLetter,
        status: &SubscriptionStatus,
    ) -> LeftOut {
        LeftOut::Event {
            position: letter.position.get(),
            noted: self.notes_of(name).map_or(0, |notes| notes.count()),
            epochs: status.partitions.iter().map(|one| one.epoch).collect(),
        }
    }

    async fn failed_command(&self, instance: &str) -> Option<String> {
        let instance = find(&self.operator, instance).await?;
        let text = &instance.outgoing.first()?.body["text"];
        text.as_str().map(str::to_owned)
    }

    pub(super) async fn letters(&self, name: &str) -> Vec<DeadLetter> {
        let letters = self.operator.subscriptions().dead_letters(name).await;
        letters.unwrap_or_default()
    }

    /// What was to be left out, and is asked for again, may be handled after all.
    fn doubt_those_of<'l>(&mut self, name: &str, letters: impl Iterator<Item = &'l DeadLetter>) {
        for letter in letters {
            let of_letter = self.discards.iter_mut().filter(|discard| {
                let key = (discard.name, discard.version, &discard.key);
                key == (name, letter.version, &letter.key)
            });
            of_letter.for_each(|discard| discard.is_certain = false);
        }
    }

    /// A reset forgets what was put aside beyond its place, and all that is under way.
    pub(super) fn doubt_discards(&mut self, name: &str, version: u32, to: u64) {
        let discards = self.discards.iter_mut();
        for discard in discards.filter(|it| it.name == name && it.version >= version) {
            discard.is_certain &= match discard.what {
                LeftOut::Event { position, .. } => position <= to,
                LeftOut::Command(_) => false,
            };
        }
    }

    pub(super) fn forget_discards(&mut self, name: &str, version: u32) {
        let discards = &mut self.discards;
        discards.retain(|it| (it.name, it.version) != (name, version));
    }

    /// Which events a version has left out, and whether it must have.
    pub(super) fn left_out(&self, name: &str, version: u32) -> BTreeMap<u64, bool> {
        let mut left_out = BTreeMap::new();
        for discard in &self.discards {
            let LeftOut::Event { position, .. } = discard.what else {
                continue;
            };
            if (discard.name, discard.version) == (name, version) {
                // Again after a reset, it may have been left out only then.
                let is_certain = left_out.entry(position).or_insert(true);
                *is_certain &= discard.is_certain;
            }
        }
        left_out
    }

    /// Which commands of an instance were left out, and whether they must have been.
    pub(super) fn commands_left_out(&self, instance: &str) -> BTreeMap<&str, bool> {
        let mut left_out = BTreeMap::new();
        for discard in self.discards.iter().filter(|it| it.key == instance) {
            if let LeftOut::Command(text) = &discard.what {
                let is_certain = left_out.entry(text.as_str()).or_insert(true);
                *is_certain &= discard.is_certain;
            }
        }
        left_out
    }

    /// What was left out was never handled again, but by a process that had not heard of it.
    pub(super) fn check_discards(&self) {
        for discard in self.discards.iter().filter(|it| it.is_certain) {
            let LeftOut::Event {
                position,
                noted,
                epochs,
            } = &discard.what
            else {
                continue;
            };
            let all = self.notes_of(discard.name).map(|notes| notes.all());
            let mut later = all.iter().flatten().skip(*noted);
            let again = later.find(|one| {
                let epoch = epochs.get(one.partition as usize);
                one.position == *position && epoch.is_some_and(|epoch| one.epoch >= *epoch)
            });
            assert!(again.is_none(), "{again:?} was left out: {discard:?}");
        }
    }
}

/// How the letter's version stands, if it has come beyond the letter.
fn passed<'s>(
    statuses: &[&'s SubscriptionStatus],
    letter: &DeadLetter,
) -> Option<&'s SubscriptionStatus> {
    let mut statuses = statuses.iter();
    let status = statuses.find(|status| status.version == letter.version)?;
    // One whose command has failed waits with the event after the checkpoint.
    let next = u64::from(letter.event_id.is_none());
    let has_passed = letter.position.get() <= status.position.get() + next;
    let is_resetting = status.state == SubscriptionState::Resetting;
    (has_passed && !is_resetting).then_some(status)
}

fn pick(letters: &[DeadLetter], which: u64) -> Option<&DeadLetter> {
    let count = letters.len().max(1) as u64;
    letters.get((which % count) as usize)
}
