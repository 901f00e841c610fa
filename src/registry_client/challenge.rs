//! Parses `WWW-Authenticate`: how a server asks for authentication (RFC 9110, 11.6.1; distribution's token
//! authentication). Ignores an ambiguous challenge.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// The longest `WWW-Authenticate` that is parsed, in bytes, over all its lines.
const MAX_CHALLENGES: usize = 8 << 10;

/// A challenge that we can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The challenges in `headers` that we can answer, in their order.
pub(super) fn parse(headers: &HeaderMap) -> Vec<Challenge> {
    let lines: Vec<&str> =
        headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok()).collect();
    if lines.iter().map(|line| line.len()).sum::<usize>() > MAX_CHALLENGES {
        return Vec::new();
    }
    lines.into_iter().flat_map(parse_line).collect()
}

fn parse_line(line: &str) -> Vec<Challenge> {
    let mut scanner = Scanner { rest: line };
    let mut challenges = Vec::new();
    loop {
        scanner.skip(|b| matches!(b, b' ' | b'\t' | b','));
        let Some(scheme) = scanner.token() else { return challenges };
        let Some(parameters) = scanner.parameters() else { return challenges };
        challenges.extend(challenge(scheme, parameters));
    }
}

fn challenge(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    for (name, value) in parameters {
        let slot = match name.as_str() {
            "realm" => &mut realm,
            "service" => &mut service,
            "scope" => &mut scope,
            _ => continue,
        };
        // A repeated parameter is ambiguous.
        if slot.replace(value).is_some() {
            return None;
        }
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) {
        let length = self.rest.bytes().take_while(|b| unwanted(*b)).count();
        self.rest = self.rest.get(length..).unwrap_or_default();
    }

    fn blanks(&mut self) {
        self.skip(|b| matches!(b, b' ' | b'\t'));
    }

    fn literal(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn token(&mut self) -> Option<&'a str> {
        let length = self.rest.bytes().take_while(|b| is_token(*b)).count();
        let (token, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// What follows a scheme: its parameters, with names in lower case, or one token68, which is skipped. `None` for
    /// anything else.
    fn parameters(&mut self) -> Option<Vec<(String, String)>> {
        let mut parameters = Vec::new();
        loop {
            self.blanks();
            let before = self.rest;
            let Some(name) = self.token() else { return self.end_of_challenge(parameters) };
            self.blanks();
            if !self.literal("=") {
                // Not a parameter: the next scheme, or a token68 right after the scheme.
                if parameters.is_empty() && (self.rest.is_empty() || self.rest.starts_with(',')) {
                    return Some(parameters);
                }
                self.rest = before;
                return (!parameters.is_empty()).then_some(parameters);
            }
            self.blanks();
            let value = match self.rest.as_bytes().first() {
                Some(b'"') => self.quoted()?,
                Some(b'=' | b',') | None if parameters.is_empty() => {
                    // The padding of a token68.
                    self.skip(|b| b == b'=');
                    return Some(parameters);
                }
                Some(_) | None => self.token()?.to_owned(),
            };
            parameters.push((name.to_ascii_lowercase(), value));
            self.blanks();
            if !self.literal(",") {
                return self.rest.is_empty().then_some(parameters);
            }
            self.skip(|b| matches!(b, b' ' | b'\t' | b','));
        }
    }

    fn end_of_challenge<T>(&self, parameters: T) -> Option<T> {
        (self.rest.is_empty() || self.rest.starts_with(',')).then_some(parameters)
    }

    fn quoted(&mut self) -> Option<String> {
        let mut characters = self.rest.strip_prefix('"')?.chars();
        let mut value = String::new();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(characters.next()?),
                other => value.push(other),
            }
        }
        self.rest = characters.as_str();
        Some(value)
    }
}

fn is_token(byte: u8) -> bool {
    // `/` is in no token; it is in the token68 of other schemes, which are skipped.
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn challenges(lines: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(line).unwrap());
        }
        parse(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_of_real_registries_are_parsed() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
        let expected = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:library/alpine:pull"),
        );
        assert_eq!(challenges(&[hub]), [expected]);
        assert_eq!(challenges(&[r#"Basic realm="Registry Realm""#]), [Challenge::Basic]);
        assert_eq!(challenges(&["basic"]), [Challenge::Basic]);
        assert_eq!(challenges(&["bearer realm=x , Service = y"]), [bearer("x", Some("y"), None)]);
    }

    #[test]
    fn several_challenges_are_parsed_separately() {
        let expected = [Challenge::Basic, bearer("a, b=\"c\"", None, None)];
        let line = r#"Basic realm="x, Bearer realm=y", Negotiate, Bearer realm="a, b=\"c\"", foo="#;
        assert_eq!(challenges(&[line]), expected[..1]);
        let line = r#"Basic realm="x, Bearer realm=y", Bearer realm="a, b=\"c\"""#;
        assert_eq!(challenges(&[line]), expected);
        assert_eq!(challenges(&["Basic realm=x", r#"Bearer realm="a, b=\"c\"""#]), expected);
        assert_eq!(challenges(&["Negotiate YWJj/w==, Basic realm=x"]), expected[..1]);
        assert_eq!(challenges(&["Negotiate, Basic realm=x"]), expected[..1]);
        assert_eq!(challenges(&["Negotiate YWJj, Basic"]), expected[..1]);
        assert_eq!(challenges(&[",, Basic realm=x,,"]), expected[..1]);
    }

    #[test]
    fn an_ambiguous_challenge_is_ignored() {
        let long = format!("Bearer realm=\"{}\"", "x".repeat(MAX_CHALLENGES));
        for line in [
            "",
            ",",
            "=",
            "\"",
            "Bearer",
            "Bearer service=x",
            "Bearer realm=\"x",
            "Bearer realm=",
            "Bearer realm=a, realm=b",
            "Bearer realm=\"a\\",
            "Bearer realm=a b=c",
            "Bearer =a",
            &long,
        ] {
            assert_eq!(challenges(&[line]), [], "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_causes_a_panic(line in "[ -~]{0,80}") {
            parse_line(&line);
        }

        #[test]
        fn no_line_of_challenge_tokens_causes_a_panic(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("Bearer "), Just("Basic"), Just("realm"), Just("="), Just("\""),
                    Just("\\"), Just(","), Just(" "), Just("a"), Just("=="), Just("é")
                ],
                0..24,
            )
        ) {
            parse_line(&words.concat());
        }
    }
}
