//! Who may sign: distinguished names, as trust policies write them (trust-store-trust-policy, "Trusted
//! Identities Constraints"). Knows nothing of where certificates come from.

use std::collections::BTreeMap;

use x509_parser::asn1_rs::Oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

/// The prefix of an identity.
const PREFIX: &str = "x509.subject:";
/// The attributes that every identity must have.
const MANDATORY: [&str; 3] = ["C", "ST", "O"];
/// Attribute types that have a name (RFC 4514, and those that Go's `crypto/x509/pkix` knows).
const NAMED: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.17", "POSTALCODE"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];
/// The most identities of one statement.
const MAX_IDENTITIES: usize = 256;

/// A distinguished name in which each attribute occurs once: by the name of the attribute's type, or by its number if it
/// has no name.
pub(super) type Attributes = BTreeMap<String, String>;

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identities {
    /// Everyone with a certificate of the trust store.
    Any,
    /// A certificate whose subject has all the attributes of one of these.
    Subjects(Vec<Identity>),
}

/// One trusted subject: its text and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    text: String,
    attributes: Attributes,
}

impl Identities {
    /// Reads `["*"]`, or a list of `x509.subject: C=…, ST=…, O=…` that do not overlap.
    pub(super) fn parse(texts: &[String]) -> Result<Self, String> {
        if texts.is_empty() {
            return Err(
                "the list is empty; `[\"*\"]` accepts everyone with a certificate".to_owned()
            );
        }
        if texts.len() > MAX_IDENTITIES {
            return Err(format!("more than {MAX_IDENTITIES} identities"));
        }
        if texts.iter().any(|text| text == "*") {
            let alone = texts.len() == 1;
            return if alone {
                Ok(Self::Any)
            } else {
                Err("\"*\" accepts everyone and must be the only entry".to_owned())
            };
        }
        let subjects: Vec<Identity> =
            texts.iter().map(|text| Identity::parse(text)).collect::<Result<_, _>>()?;
        for (at, one) in subjects.iter().enumerate() {
            for other in subjects.iter().skip(at + 1) {
                if one.covers(&other.attributes) || other.covers(&one.attributes) {
                    return Err(format!(
                        "{:?} and {:?} overlap: leave out the narrower one",
                        one.text, other.text
                    ));
                }
            }
        }
        Ok(Self::Subjects(subjects))
    }

    /// Whether `subject` is trusted.
    pub(super) fn trust(&self, subject: &Attributes) -> bool {
        match self {
            Self::Any => true,
            Self::Subjects(subjects) => subjects.iter().any(|identity| identity.covers(subject)),
        }
    }

    /// Whether some subject is trusted by both.
    pub(super) fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Subjects(these), Self::Subjects(those)) => {
                these.iter().any(|one| those.iter().any(|other| one.agrees_with(other)))
            }
        }
    }

    /// The configured texts.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Any => vec!["*"],
            Self::Subjects(subjects) => subjects.iter().map(|one| one.text.as_str()).collect(),
        }
    }
}

impl Identity {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("{text:?}: {why}; an identity is `x509.subject: C=US, ST=WA, O=Acme`, or `*`")
        };
        let name = text.strip_prefix(PREFIX).ok_or_else(|| {
            wrong("it begins with no kind of identity that is known here, `x509.subject:`")
        })?;
        let mut attributes = Attributes::new();
        for (name, value) in relative_names(name).map_err(|why| wrong(&why))? {
            if attributes.contains_key(&name) {
                return Err(wrong(&format!("{name} occurs twice")));
            }
            attributes.insert(name, value);
        }
        if let Some(missing) = MANDATORY.iter().find(|name| !attributes.contains_key(**name)) {
            return Err(wrong(&format!("{missing} is not there")));
        }
        Ok(Self { text: text.to_owned(), attributes })
    }

    /// Whether one subject can have every attribute of both.
    fn agrees_with(&self, other: &Self) -> bool {
        let agrees = |(name, value)| other.attributes.get(name).is_none_or(|own| own == value);
        self.attributes.iter().all(agrees)
    }

    /// Whether `subject` has every attribute of this.
    fn covers(&self, subject: &Attributes) -> bool {
        self.attributes.iter().all(|(name, value)| subject.get(name) == Some(value))
    }
}

/// The attributes of a DN in the text form of RFC 4514, of one attribute each.
fn relative_names(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut names = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        let mut name = String::new();
        loop {
            match rest.next() {
                Some('=') => break,
                Some(c) if c.is_ascii_alphanumeric() || matches!(c, '.' | ' ') => name.push(c),
                Some(c) => return Err(format!("{c:?} is not the name of an attribute")),
                None => return Err("it does not end in `name=value`".to_owned()),
            }
        }
        let (value, more) = value(&mut rest)?;
        names.push((attribute_type(name.trim())?, value));
        if !more {
            return Ok(names);
        }
    }
}

/// One value, up to a comma or the end of the text, and whether another follows.
fn value(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(String, bool), String> {
    let mut bytes: Vec<u8> = Vec::new();
    // The length without unescaped spaces at the end.
    let mut kept = 0;
    let mut more = false;
    while rest.next_if(|c| *c == ' ').is_some() {}
    if rest.peek() == Some(&'#') {
        return Err("a value that begins with `#` is not supported".to_owned());
    }
    while let Some(c) = rest.next() {
        match c {
            ',' => {
                more = true;
                break;
            }
            '+' => return Err("an RDN of several attributes (`+`) is not supported".to_owned()),
            ';' | '"' | '<' | '>' => return Err(format!("{c:?} must be written `\\{c}`")),
            '\\' => {
                bytes.extend(escaped(rest)?);
                kept = bytes.len();
            }
            _ => {
                bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c != ' ' {
                    kept = bytes.len();
                }
            }
        }
    }
    bytes.truncate(kept);
    let value = String::from_utf8(bytes).map_err(|_| "a value is not UTF-8".to_owned())?;
    if value.is_empty() {
        return Err("a value is empty".to_owned());
    }
    Ok((value, more))
}

/// The character after a backslash: a special character, or two hex digits of a byte.
fn escaped(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Vec<u8>, String> {
    let wrong = || "a backslash before a character that needs none".to_owned();
    let first = rest.next().ok_or_else(wrong)?;
    if " \"#+,;<=>\\".contains(first) {
        return Ok(vec![first as u8]);
    }
    let second = rest.next().ok_or_else(wrong)?;
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match (digit(first), digit(second)) {
        (Some(high), Some(low)) => Ok(vec![high * 16 + low]),
        (_, _) => Err(wrong()),
    }
}

fn attribute_type(name: &str) -> Result<String, String> {
    let name = if name == "S" { "ST" } else { name };
    let by_number = NAMED.iter().find(|(number, _)| *number == name).map(|(_, name)| *name);
    let known = NAMED.iter().any(|(_, known)| *known == name);
    let number = name.contains('.') && name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match by_number {
        Some(name) => Ok(name.to_owned()),
        None if known || number => Ok(name.to_owned()),
        None => {
            let names: Vec<&str> = NAMED.iter().map(|(_, name)| *name).collect();
            Err(format!("{name:?} is not a known attribute: {}", names.join(", ")))
        }
    }
}

/// The attributes of `subject`, the DER of a certificate's subject.
///
/// # Errors
/// An attribute occurs twice, shares its RDN with another one, or cannot be read: no identity matches such a name.
pub(super) fn attributes(subject: &[u8]) -> Result<Attributes, String> {
    let (_, name) =
        X509Name::from_der(subject).map_err(|_| "its subject cannot be read".to_owned())?;
    let mut attributes = Attributes::new();
    for rdn in name.iter_rdn() {
        let mut parts = rdn.iter();
        let (Some(part), None) = (parts.next(), parts.next()) else {
            return Err("an RDN of its subject has several attributes".to_owned());
        };
        let name = type_name(part.attr_type());
        let Ok(value) = part.as_str() else {
            return Err(format!("{name} in its subject is not a text"));
        };
        if attributes.insert(name.clone(), value.to_owned()).is_some() {
            return Err(format!("{name} occurs twice in its subject"));
        }
    }
    Ok(attributes)
}

fn type_name(oid: &Oid<'_>) -> String {
    let number = oid.to_id_string();
    let named = NAMED.iter().find(|(known, _)| *known == number);
    named.map_or(number, |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Attributes, String> {
        Identity::parse(text).map(|identity| identity.attributes)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn many(texts: &[&str]) -> Result<Identities, String> {
        Identities::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_read_with_their_escapes() {
        let wanted = pairs(&[("C", "US"), ("ST", "WA"), ("O", "Acme, Inc."), ("CN", " a é ")]);
        let text = r"x509.subject: C=US, S=WA,O = Acme\, Inc. ,CN=\ a \C3\A9\ ";
        assert_eq!(one(text), Ok(wanted));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "*.acme",
            "C=US, ST=WA, O=Acme",
            "x509.subject:",
            "x509.subject: C=US, ST=WA",
            "x509.subject: C=US, O=Acme",
            "x509.subject: C=US, ST=WA, O=",
            "x509.subject: C=US, ST=WA, O=Acme,",
            "x509.subject: C=US, ST=WA, O=Acme, O=Other",
            "x509.subject: C=US, ST=WA, S=WA, O=Acme",
            "x509.subject: C=US, ST=WA, O=Acme+OU=x",
            "x509.subject: C=US, ST=WA, O=#0c04",
            "x509.subject: C=US, ST=WA, O=Acme; OU=x",
            "x509.subject: C=US, ST=WA, O=Acme, FOO=x",
            "x509.subject: c=US, st=WA, o=Acme",
            r"x509.subject: C=US, ST=WA, O=Acme\",
            r"x509.subject: C=US, ST=WA, O=Acme\x",
            r"x509.subject: C=US, ST=WA, O=\FF",
        ] {
            assert!(one(text).is_err(), "{text}");
        }
    }

    #[test]
    fn identities_that_overlap_are_refused() {
        let (wide, narrow) =
            ("x509.subject: C=US, ST=WA, O=A", "x509.subject: C=US, ST=WA, O=A, OU=x");
        for texts in [[wide, narrow], [narrow, wide], [wide, wide], ["*", wide]] {
            assert!(many(&texts).is_err(), "{texts:?}");
        }
        assert!(many(&[narrow, "x509.subject: C=US, ST=WA, O=A, OU=y"]).is_ok());
        assert_eq!(many(&["*"]), Ok(Identities::Any));
        assert!(many(&[]).is_err());
    }

    #[test]
    fn a_subject_is_trusted_by_all_attributes_of_one_identity() {
        let identities = many(&["x509.subject: C=US, ST=WA, O=Acme, OU=x"]).unwrap();
        let subject = [("C", "US"), ("ST", "WA"), ("O", "Acme"), ("OU", "x"), ("CN", "signer")];
        assert!(identities.trust(&pairs(&subject)));
        for missing in 0..4 {
            let mut less = subject.to_vec();
            less.remove(missing);
            assert!(!identities.trust(&pairs(&less)));
        }
        let mut other = pairs(&subject);
        other.insert("O".to_owned(), "acme".to_owned());
        assert!(!identities.trust(&other));
    }
}
