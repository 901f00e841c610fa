//! The inventory as text for people.

use std::fmt;

use super::inventory::{
    Inventory, ListedRepository, ListedTag, OtherStatus, RepositoryStatus, TagStatus, Totals,
};
use crate::text::grouped;

/// How many characters of a key id are shown; `--json` and `--csv` contain all of them.
const SHOWN_ID: usize = 12;

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for repository in &self.repositories {
            writeln!(f, "{repository}")?;
        }
        for why in &self.unreadable {
            writeln!(f, "UNREADABLE  {why}")?;
        }
        write!(f, "{}", self.totals)
    }
}

impl fmt::Display for ListedRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registry, repository, anchor, server, status, .. } = self;
        let status = match status {
            RepositoryStatus::Signed => format!("{} signed tags", grouped(self.tags.len() as u64)),
            RepositoryStatus::Absent => "not signed".to_owned(),
            RepositoryStatus::Refused => format!("REFUSED ({})", self.reason.unwrap_or_default()),
            RepositoryStatus::Undecided => "UNDECIDED".to_owned(),
        };
        writeln!(f, "{registry}/{repository} [{anchor}]: {status}")?;
        write!(f, "  server    {server}")?;
        if let Some(fetched) = self.fetched {
            write!(f, ", fetched at {fetched}")?;
        }
        if let Some(expires) = self.expires {
            write!(f, ", expires {expires:#}")?;
        }
        writeln!(f)?;
        for (name, said) in [("because", &self.because), ("note", &self.note)] {
            if let Some(said) = said {
                writeln!(f, "  {name:<9} {said}")?;
            }
        }
        self.tags.iter().try_for_each(|tag| write!(f, "{tag}"))
    }
}

impl fmt::Display for ListedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tag, signers, other, because, .. } = self;
        let digest = self.digest.map_or_else(|| "no digest".to_owned(), |it| it.to_string());
        writeln!(f, "  {tag:<9} {digest}")?;
        if !signers.is_empty() {
            let signers: Vec<String> = signers
                .iter()
                .map(|signer| {
                    let keys = signer.keys.iter().map(|key| key.get(..SHOWN_ID).unwrap_or(key));
                    format!("{} (key {})", signer.role, keys.collect::<Vec<_>>().join(" "))
                })
                .collect();
            writeln!(f, "    signed  {}", signers.join(", "))?;
        }
        let why = because.as_deref().unwrap_or_default();
        match (self.status, other.status) {
            (TagStatus::Gone, _) => writeln!(f, "    gone    {why}"),
            (TagStatus::Refused, _) => writeln!(f, "    REFUSED {why}"),
            (TagStatus::Undecided, _) => writeln!(f, "    UNDECIDED {why}"),
            (TagStatus::Verified, OtherStatus::Signed) => {
                writeln!(f, "    other   {}", other.anchors.join(", "))
            }
            (TagStatus::Verified, OtherStatus::None) => {
                let why = other.because.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                writeln!(f, "    other   NONE{why}")
            }
            (TagStatus::Verified, OtherStatus::Undecided) => {
                writeln!(
                    f,
                    "    other   UNDECIDED: {}",
                    other.because.as_deref().unwrap_or_default()
                )
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |count: usize| grouped(count as u64);
        let (some, all) = (number(self.with_another_signature), number(self.digests));
        writeln!(f, "{some} of {all} digests have another signature")?;
        for (count, what) in [
            (self.by_notaryv1_alone, "digests depend on Notary v1 alone"),
            (self.undecided, "digests are undecided: run again when all servers respond"),
            (self.gone, "digests are signed, but no longer in the registry"),
            (self.refused, "digests or tags are signed, but refused"),
            (self.refused_repositories, "repositories have trust data that does not verify"),
            (self.undecided_repositories, "repositories are undecided"),
        ] {
            if count > 0 {
                writeln!(f, "{} {what}", number(count))?;
            }
        }
        Ok(())
    }
}
