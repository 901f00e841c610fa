//! In which order the entries of a list, and the signatures of a manifest, are examined. Only an order: whoever
//! may push can make an entry look like any other, and what a manifest says itself decides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Whether annotations make a signature likelier to be one by the anchor's signers.
pub type Hint = Arc<dyn Fn(&BTreeMap<String, String>) -> bool + Send + Sync>;

/// What is known of an entry from earlier searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SearchHistory {
    /// It was a good signature.
    Good,
    New,
    /// It was examined, at this turn.
    Examined(u64),
}

/// What a list says that an entry is, the likeliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Wanted,
    /// A bundle that is annotated with another predicate.
    OtherPredicate,
    Unnamed,
    /// Something else. It is examined last, for the list may be wrong.
    SomethingElse,
}

/// The entries in the order of their ranks. Equal ones are taken from both ends in turn, so that neither those
/// that come before the good one nor those that come after it hide it.
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
    fn what_was_examined_comes_after_what_was_not() {
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
