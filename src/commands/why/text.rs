//! An explanation as text: the same facts as the JSON object.

use std::fmt::Write as _;

use super::{AnchorReport, Explanation, MemoryReport, WouldReport};

impl Explanation {
    /// The explanation as text. Writing to a `String` cannot fail.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.image);
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let mut line = |name: &str, said: &str| {
            let _ = writeln!(text, "  {name:<9} {said}");
        };
        line("verdict", &format!("{}{reason}", self.verdict));
        line("because", &self.because);
        if let Some(WouldReport { verdict, reason, because }) = &self.would {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            line("audit", &format!("it would be {verdict}{reason}: {because}"));
        }
        line("advice", &self.advice);
        match &self.rule {
            Some(rule) => {
                line("rule", &format!("{} [{}]: {}", rule.images, rule.mode, rule.means));
            }
            None => line("rule", "no rule matches this image"),
        }
        for beaten in &self.beaten {
            line("not", &format!("{} [{}]: {}", beaten.images, beaten.mode, beaten.because));
        }
        if let Some(upstream) = &self.upstream {
            line("upstream", &format!("{} at {}", upstream.registry, upstream.url));
        }
        if let Some(tag) = &self.tag {
            let said = tag.upstream.as_ref().or(tag.unread.as_ref());
            let said = said.map_or("unknown", String::as_str);
            let differs = tag.differs.as_ref();
            let differs = differs.map(|it| format!(", but the signed or served digest is {it}"));
            let differs = differs.unwrap_or_default();
            line("tag", &format!("{} at upstream: {said}{differs}", tag.tag));
        }
        if let (Some(digest), Some(media_type)) = (&self.digest, &self.media_type) {
            line("digest", digest);
            line("type", media_type);
        }
        if let Some(remark) = &self.remark {
            line("remark", remark);
        }
        if let Some(MemoryReport { digest, since, newest_signature }) = &self.memory {
            let signed = newest_signature.as_ref();
            let signed = signed.map(|at| format!(", signed at {at}")).unwrap_or_default();
            line("memory", &format!("{digest} since {since}{signed}"));
        }
        for one in &self.endorsements {
            let signed = one.signed.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
            let tag = one.tag.as_ref().map(|tag| format!(" as {tag}")).unwrap_or_default();
            let (anchor, scheme, digest) = (&one.anchor, &one.scheme, &one.digest);
            let until = one.expires.as_ref().map(|at| format!(", until {at}")).unwrap_or_default();
            let who = one.signed_by.join(", ");
            line(
                "endorsed",
                &format!("{anchor} [{scheme}]: {digest}{tag}, by {who}{signed}{until}"),
            );
        }
        for anchor in &self.anchors {
            match anchor {
                AnchorReport::Names(report) => report.write(&mut text),
                AnchorReport::Content(report) => report.write(&mut text),
            }
        }
        if let Some(incomplete) = &self.incomplete {
            let _ = writeln!(text, "  NOT ALL   {incomplete}");
        }
        text
    }
}
