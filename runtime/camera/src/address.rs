//! Addresses of cameras, webhooks and brokers: `scheme://[user:password@]host[:port]/path`.
//!
//! The crate `url` reads them. Added here: which schemes are taken, blanks and control characters are
//! refused instead of dropped, the login is percent-decoded, and no message shows it.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// A user and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password; may be empty.
    pub password: String,
}

/// An address whose login is kept apart from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// The address without its login.
    pub url: Url,
    /// The login, percent-decoded.
    pub login: Option<Login>,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.url)
    }
}

/// An address as far as it may be shown: without what stands before its last `@`.
pub fn without_login(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest))
}

impl Address {
    /// Reads an address of one of these schemes.
    ///
    /// # Errors
    /// A text that names the address without its login, and what is wrong with it.
    pub fn parse(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let bad = |why: &str| format!("{}: {why}", without_login(text));
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if !schemes.contains(&scheme) {
            let known: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
            return Err(bad(&format!("the address must begin with {}", known.join(" or "))));
        }
        // The crate would drop the one, and read the other as a slash.
        if rest.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') {
            return Err(bad("blanks, control characters and backslashes must be percent-encoded"));
        }
        if rest.starts_with('/') {
            return Err(bad("the host is missing"));
        }
        let mut url = Url::parse(text).map_err(|e| match e {
            url::ParseError::InvalidPort if rest.contains('@') => bad(
                "the port is not a number; / ? # in a user or password must be percent-encoded (%2F %3F %23)",
            ),
            e => bad(&e.to_string()),
        })?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("the host is missing"));
        }
        let decoded = |part: &str| {
            let text = percent_decode_str(part).decode_utf8().map_err(|_| bad("the login is not UTF-8"))?;
            Ok::<_, String>(text.into_owned())
        };
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                Some(Login { user: decoded(user)?, password: decoded(password.unwrap_or(""))? })
            }
        };
        let _ = url.set_password(None).and_then(|()| url.set_username(""));
        url.set_fragment(None);
        Ok(Self { url, login })
    }

    /// The host as a resolver wants it: an IPv6 address has no brackets.
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            _ => self.url.host_str().unwrap_or_default().into(),
        }
    }

    /// Whether another address is of the same scheme, host and port, so that it may get the login.
    pub fn same_server(&self, other: &Url) -> bool {
        let key = |url: &Url| {
            (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
        };
        key(&self.url) == key(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: &[&str] = &["http", "https"];

    fn login(user: &str, password: &str) -> Option<Login> {
        Some(Login { user: user.into(), password: password.into() })
    }

    #[test]
    fn addresses_come_apart() {
        let parse = |text: &str| Address::parse(text, HTTP).unwrap();
        assert_eq!(parse("http://cam").url.as_str(), "http://cam/");
        let whole = parse("http://a:b@cam:81/x/y?q=1#part");
        assert_eq!((whole.url.as_str(), whole.login), ("http://cam:81/x/y?q=1", login("a", "b")));
        assert_eq!(parse("http://[::1]:81?q").host(), "::1");
        assert_eq!(parse("https://me:secret@cam").to_string(), "https://cam/");
        let mqtt = Address::parse("mqtt://me:x@Broker/home", &["mqtt", "mqtts"]).unwrap();
        assert_eq!((mqtt.host().as_str(), mqtt.url.path(), mqtt.url.port()), ("Broker", "/home", None));
    }

    #[test]
    fn logins_are_percent_decoded() {
        for (text, expected) in [
            ("http://me:p@ss@cam/", login("me", "p@ss")),
            ("http://me:p%40ss@cam/", login("me", "p@ss")),
            ("http://me:a%2Fb%23c%3F@cam/", login("me", "a/b#c?")),
            ("http://a%40b.c:x@cam/", login("a@b.c", "x")),
            ("http://me@cam/", login("me", "")),
            ("http://me:100%@cam/", login("me", "100%")),
        ] {
            assert_eq!(Address::parse(text, HTTP).unwrap().login, expected, "{text}");
        }
        let mqtt = Address::parse("mqtt://me%40home:p%40ss%2Fw@broker", &["mqtt"]).unwrap();
        assert_eq!(mqtt.login, login("me@home", "p@ss/w"));
    }

    #[test]
    fn bad_addresses_are_refused_without_their_login() {
        for bad in [
            "rtsp://cam/",
            "cam",
            "http://",
            "http:///x",
            "http://cam:x/",
            "http://cam/a b",
            "http://cam\\x/",
            "http://cam/\r\nX: y",
            "http://me:secret@cam:x/",
            "http://me:secret/@cam/",
            "http://me:secret%ff@cam/",
        ] {
            let error = Address::parse(bad, HTTP).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        let hint = Address::parse("http://me:a/b@cam/", HTTP).unwrap_err();
        assert!(hint.contains("%2F"), "{hint}");
    }
}
