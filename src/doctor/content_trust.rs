//! Docker Content Trust in the docker CLI: an environment variable that makes it ask Docker's Notary server, which Docker
//! shuts down. No bypass of the gate: only information.

use super::finding::{Client, Finding};
use super::seen::ClientFiles;
use crate::trust::notaryv1::{DOCKER_NOTARY, GUIDE, SHUTDOWN_DAY};

/// The files that set environment variables for every user.
pub(super) const FILES: [&str; 2] = ["/etc/environment", "/etc/profile"];
/// The folder of further such files, and the end of their names.
pub(super) const FOLDER: (&str, &str) = ("/etc/profile.d", ".sh");

/// Turns Content Trust on, except with the value 0.
const VARIABLE: &str = "DOCKER_CONTENT_TRUST";
/// Names another Notary server.
const SERVER: &str = "DOCKER_CONTENT_TRUST_SERVER";

pub(super) fn judge(seen: &ClientFiles) -> Vec<Finding> {
    let of_folder = super::in_folder(seen, FOLDER.0, FOLDER.1);
    let files: Vec<(&str, &str)> =
        FILES.iter().filter_map(|file| seen.entry(file)).chain(of_folder).collect();
    let other_server = files.iter().any(|(_, text)| {
        let mut set = text.lines().filter_map(|line| value(line, SERVER));
        set.next_back().is_some_and(|server| !server.is_empty() && !server.contains(DOCKER_NOTARY))
    });
    if other_server {
        return Vec::new();
    }
    let found = files.iter().filter_map(|(file, text)| {
        let lines = text.lines().enumerate();
        let set = lines.filter_map(|(at, line)| Some((at + 1, value(line, VARIABLE)?)));
        let (line, value) = set.last()?;
        let is_on = !matches!(value, "" | "0" | "false" | "f" | "F" | "FALSE" | "False");
        is_on.then(|| {
            let meaning = format!(
                "{VARIABLE} is set: up to version 28, docker verifies images of Docker Hub with {DOCKER_NOTARY}, which \
                 Docker shuts down on {SHUTDOWN_DAY}; after that, it pulls none of them"
            );
            let remedy = format!("let the gate verify images, and unset the variable: see {GUIDE}");
            Finding::closed(Client::Docker, meaning).at(file, Some(line)).remedy(remedy)
        })
    });
    found.collect()
}

/// The value that a line of a shell script or of `/etc/environment` gives `variable`.
fn value<'a>(line: &'a str, variable: &str) -> Option<&'a str> {
    let line = line.trim();
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let value = line.strip_prefix(variable)?.strip_prefix('=')?;
    let value = value.split([' ', '\t', ';', '#']).next().unwrap_or_default();
    Some(value.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::FileContent;

    fn found(files: &[(&str, &str)]) -> Vec<Finding> {
        let mut seen = ClientFiles::default();
        let names = files.iter().filter_map(|(file, _)| file.strip_prefix("/etc/profile.d/"));
        seen.put_folder(FOLDER.0, Ok(names.map(str::to_owned).collect()));
        for (file, text) in files {
            seen.put(file, FileContent::Text((*text).to_owned()));
        }
        judge(&seen)
    }

    #[test]
    fn content_trust_with_dockers_own_server_names_the_shutdown() {
        for line in ["DOCKER_CONTENT_TRUST=1", "  export DOCKER_CONTENT_TRUST=\"1\" # signed"] {
            for file in ["/etc/environment", "/etc/profile.d/docker.sh"] {
                let found = found(&[(file, &format!("A=1\n{line}\n"))]);
                assert_eq!(found.len(), 1, "{line} {file}");
                assert_eq!((found[0].file.as_deref(), found[0].line), (Some(file), Some(2)));
                assert!(found[0].meaning.contains("2026-12-08"), "{}", found[0].meaning);
                assert!(found[0].remedy.contains("docs/leaving-content-trust.md"));
            }
        }
    }

    #[test]
    fn content_trust_that_is_off_or_uses_another_server_is_not_reported() {
        for text in [
            "",
            "DOCKER_CONTENT_TRUST=0",
            "# DOCKER_CONTENT_TRUST=1",
            "DOCKER_CONTENT_TRUST=1\nDOCKER_CONTENT_TRUST=0",
            "DOCKER_CONTENT_TRUST=1\nexport DOCKER_CONTENT_TRUST_SERVER=https://notary.example.com",
        ] {
            assert_eq!(found(&[("/etc/environment", text)]), [], "{text}");
        }
    }
}
