//! The order in which the entries of a list and the signatures of a manifest are examined. It is only an order: anyone
//! who can push can make an entry look like any other; the manifest's own content decides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Whether annotations make it more likely that the anchor's signers made a signature.
pub type Hint = Arc<dyn Fn(&BTreeMap<String, String>) -> bool + Send + Sync>;

/// What earlier searches found out about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SearchHistory {
    /// It was a valid signature.
    Good,
    New,
    /// It was examined, in this turn.
    Examined(u64),
}

/// The class of an entry according to the list, the most likely one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Wanted,
    /// A bundle annotated with another predicate.
    OtherPredicate,
    Unnamed,
    /// Other content. It is examined last, because the list may be wrong.
    SomethingElse,
}

/// The entries in the order of their ranks. Entries of equal rank are taken from both ends alternately, so that neither
/// earlier nor later entries hide a valid one.
pub(super) fn ordered<T, R: Ord>(
    entries: impl IntoIterator<Item = T>,
    rank: impl Fn(&T) -> R,
) -> VecDeque<T> {
    let mut ranks: BTreeMap<R, VecDeque<T>> = BTreeMap::new();
    for entry in entries {
        ranks.entry(rank(&entry)).or_default().push_back(entry);
    }
    let mut ordered = VecDeque::new();
    for mut equal in ranks.into_values() {
        while let Some(first) = equal.pop_front() {
            ordered.push_back(first);
            ordered.extend(equal.pop_back());
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_entries_are_taken_from_both_ends() {
        let ranked = ordered([(1, 'a'), (0, 'b'), (1, 'c'), (1, 'd'), (0, 'e')], |entry| entry.0);
        let order: String = ranked.into_iter().map(|entry| entry.1).collect();
        assert_eq!(order, "beadc");
    }

    #[test]
    fn examined_entries_come_after_unexamined_ones() {
        let histories = [
            SearchHistory::Examined(2),
            SearchHistory::New,
            SearchHistory::Examined(1),
            SearchHistory::Good,
        ];
        let ranked = ordered(histories, |history| *history);
        let wanted = [
            SearchHistory::Good,
            SearchHistory::New,
            SearchHistory::Examined(1),
            SearchHistory::Examined(2),
        ];
        assert_eq!(Vec::from(ranked), wanted);
    }
}
