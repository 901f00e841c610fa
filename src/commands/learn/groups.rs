//! Groups repositories with the same requirement under the most general pattern that covers no others. Pure.

use std::collections::BTreeMap;

use super::repositories::Requirement;

/// The path of a repository (registry first) and its requirement.
type Needs<'a> = (&'a [String], &'a Requirement);

/// The patterns of each requirement.
pub(super) fn groups(
    needs: &BTreeMap<Vec<String>, Requirement>,
) -> BTreeMap<Requirement, Vec<String>> {
    let mut groups: BTreeMap<Requirement, Vec<String>> = BTreeMap::new();
    let all: Vec<Needs<'_>> = needs.iter().map(|(path, need)| (&path[..], need)).collect();
    // The first segment is the registry.
    for below in by_segment(&all, 0) {
        gather(&below, 1, &mut groups);
    }
    groups
}

/// Gathers the patterns of repositories whose first `depth` segments are the same.
fn gather(all: &[Needs<'_>], depth: usize, groups: &mut BTreeMap<Requirement, Vec<String>>) {
    let Some((path, need)) = all.first() else { return };
    let shared = path[..depth.min(path.len())].join("/");
    let mut add = |need: &Requirement, pattern: String| {
        groups.entry(need.clone()).or_default().push(pattern);
    };
    let (here, below): (Vec<Needs<'_>>, Vec<Needs<'_>>) =
        all.iter().partition(|(path, _)| path.len() <= depth);
    for (path, need) in &here {
        add(need, path.join("/"));
    }
    if below.len() > 1 && all.iter().all(|(_, other)| other == need) {
        add(need, format!("{shared}/**"));
        return;
    }
    for below in by_segment(&below, depth) {
        match &below[..] {
            [(path, need)] => {
                let pattern = path.join("/");
                groups.entry((*need).clone()).or_default().push(pattern);
            }
            several => gather(several, depth + 1, groups),
        }
    }
}

/// The repositories by their segment at `depth`.
fn by_segment<'a>(all: &[Needs<'a>], depth: usize) -> Vec<Vec<Needs<'a>>> {
    let mut by: BTreeMap<&str, Vec<Needs<'a>>> = BTreeMap::new();
    for (path, need) in all {
        if let Some(segment) = path.get(depth) {
            by.entry(segment).or_default().push((path, need));
        }
    }
    by.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(anchor: &str) -> Requirement {
        Requirement::All(vec![anchor.to_owned()])
    }

    fn patterns(needs: &[(&str, &Requirement)]) -> Vec<(Requirement, Vec<String>)> {
        let path = |name: &str| name.split('/').map(str::to_owned).collect();
        let needs = needs.iter().map(|(name, need)| (path(name), (*need).clone())).collect();
        groups(&needs).into_iter().collect()
    }

    fn texts(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn repositories_with_one_requirement_share_the_most_general_pattern() {
        let team = all("team");
        assert_eq!(
            patterns(&[("r/team/a", &team), ("r/team/b", &team), ("r/other", &team)]),
            [(team.clone(), texts(&["r/**"]))]
        );
        assert_eq!(patterns(&[("r/team/a", &team)]), [(team, texts(&["r/team/a"]))]);
    }

    #[test]
    fn a_different_requirement_splits_the_pattern() {
        let (team, ci) = (all("team"), all("ci"));
        assert_eq!(
            patterns(&[
                ("r/team/a", &team),
                ("r/team/b", &team),
                ("r/team/sub/c", &team),
                ("r/ci/a", &ci),
                ("r/ci/b", &Requirement::Nobody),
                ("s/x", &team),
            ]),
            [
                (ci, texts(&["r/ci/a"])),
                (team, texts(&["r/team/**", "s/x"])),
                (Requirement::Nobody, texts(&["r/ci/b"])),
            ]
        );
    }

    #[test]
    fn a_repository_that_is_also_a_prefix_has_its_own_pattern() {
        let (team, ci) = (all("team"), all("ci"));
        assert_eq!(
            patterns(&[("r/a", &team), ("r/a/b", &team), ("r/a/c", &team), ("r/z", &ci)]),
            [(ci, texts(&["r/z"])), (team, texts(&["r/a", "r/a/**"]))]
        );
    }
}
