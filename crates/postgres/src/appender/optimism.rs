//! Whether leaving versions to the unique index pays.

use crate::batch::Caution;

/// Counts optimistic calls and those of them that a unique index refused.
///
/// A refused call is sent twice. When more than one in twenty is refused, as where two processes work on
/// the same streams, versions are looked up for a while.
#[derive(Debug, Default)]
pub(super) struct Optimism {
    calls: u32,
    refused: u32,
    /// How many calls are still to be cautious.
    cautious: u32,
    /// Whether the next call repeats one that was refused.
    repeats: bool,
}

impl Optimism {
    const WINDOW: u32 = 128;
    const REFUSED_MAX: u32 = 6;
    const CAUTIOUS_CALLS: u32 = 512;

    /// How cautious the next call is.
    pub(super) fn caution(&self) -> Caution {
        match self {
            Self { repeats: true, .. } => Caution::Thorough,
            Self { cautious: 0, .. } => Caution::Optimistic,
            _ => Caution::Checked,
        }
    }

    /// A call was carried out.
    pub(super) fn worked(&mut self) {
        self.repeats = false;
        if self.cautious > 0 {
            self.cautious -= 1;
            return;
        }
        self.calls += 1;
        if self.calls >= Self::WINDOW {
            (self.calls, self.refused) = (0, 0);
        }
    }

    /// A unique index refused a call; it is to be repeated. Whether caution begins.
    pub(super) fn was_refused(&mut self) -> bool {
        self.repeats = true;
        self.refused += 1;
        if self.refused < Self::REFUSED_MAX || self.cautious > 0 {
            return false;
        }
        (self.calls, self.refused) = (0, 0);
        self.cautious = Self::CAUTIOUS_CALLS;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_is_repeated_thoroughly() {
        let mut optimism = Optimism::default();
        assert_eq!(optimism.caution(), Caution::Optimistic);
        assert!(!optimism.was_refused());
        assert_eq!(optimism.caution(), Caution::Thorough);
        optimism.worked();
        assert_eq!(optimism.caution(), Caution::Optimistic);
    }

    #[test]
    fn many_refusals_make_cautious_for_a_while() {
        let mut optimism = Optimism::default();
        while !optimism.was_refused() {
            optimism.worked();
        }
        optimism.worked();
        assert_eq!(optimism.caution(), Caution::Checked);
        (0..Optimism::CAUTIOUS_CALLS).for_each(|_| optimism.worked());
        assert_eq!(optimism.caution(), Caution::Optimistic);
    }

    #[test]
    fn few_refusals_do_not() {
        let mut optimism = Optimism::default();
        for _ in 0..100 {
            assert!(!optimism.was_refused());
            (0..Optimism::WINDOW).for_each(|_| optimism.worked());
            assert_eq!(optimism.caution(), Caution::Optimistic);
        }
    }
}
