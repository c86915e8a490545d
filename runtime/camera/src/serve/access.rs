//! Who may ask. Without a token the page answers on this machine only, and only to requests that name
//! this machine as their host, so that no web site can have a browser here ask for it (DNS rebinding).
//! With a token every request must bring it: as `Authorization: Bearer …`, as `?token=…` (which the page
//! turns into a cookie), or as that cookie.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};

/// The shortest token.
pub const MIN_TOKEN: usize = 8;
/// The cookie's name.
pub const COOKIE: &str = "foldnet_token";

/// See the module.
#[derive(Clone, Debug)]
pub struct Access {
    token: Option<String>,
}

/// How a request is answered.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It may ask.
    Welcome,
    /// It may, by the token in its address: give it the cookie.
    WelcomeByAddress,
    /// It may not: it brings no token.
    NoToken,
    /// It may not: it brings another token.
    WrongToken,
    /// It asks for another host.
    WrongHost,
}

impl Access {
    /// Refuses to serve others than this machine without a token.
    pub fn new(listen: SocketAddr, token: Option<String>) -> Result<Self, String> {
        match &token {
            None if !listen.ip().is_loopback() => Err(format!(
                "listening on {} for others needs a token: --token, or FOLDNET_TOKEN",
                listen.ip()
            )),
            Some(t) if t.len() < MIN_TOKEN => Err(format!("a token has {MIN_TOKEN} characters at least")),
            Some(t) if !t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)) => {
                Err("a token is made of letters, digits and - . _ ~".into())
            }
            _ => Ok(Self { token }),
        }
    }

    /// Whether a token is needed.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Decides.
    pub fn judge(&self, headers: &HeaderMap, query: Option<&str>) -> Verdict {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
        let Some(token) = &self.token else {
            return if is_local(text(header::HOST)) { Verdict::Welcome } else { Verdict::WrongHost };
        };
        let bearer = text(header::AUTHORIZATION).strip_prefix("Bearer ");
        let mut cookies = text(header::COOKIE).split(';').filter_map(|c| c.trim().split_once('='));
        let cookie = cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| value);
        if [bearer, cookie].into_iter().flatten().any(|given| same(given, token)) {
            return Verdict::Welcome;
        }
        let mut pairs = query.unwrap_or("").split('&').filter_map(|p| p.split_once('='));
        let given = pairs.find(|(name, _)| *name == "token").map(|(_, value)| value);
        if given.is_some_and(|given| same(given, token)) {
            Verdict::WelcomeByAddress
        } else if [bearer, cookie, given].into_iter().flatten().any(|given| !given.is_empty()) {
            Verdict::WrongToken
        } else {
            Verdict::NoToken
        }
    }

    /// The header that gives the cookie.
    pub fn cookie(&self) -> Option<String> {
        let token = self.token.as_ref()?;
        Some(format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"))
    }
}

/// Compares in a time that depends on the lengths only.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost"
        || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn others_need_a_token() {
        let everyone = "0.0.0.0:80".parse().unwrap();
        let local = "127.0.0.1:80".parse().unwrap();
        assert!(Access::new(everyone, None).unwrap_err().contains("--token"));
        assert!(Access::new(local, None).is_ok());
        assert!(Access::new(local, Some("short".into())).is_err());
        assert!(Access::new(local, Some("with; blank".into())).is_err());
        let access = Access::new(everyone, Some("correct-horse".into())).unwrap();
        let judge = |h: &[(&'static str, &str)], q| access.judge(&headers(h), q);
        assert_eq!(judge(&[("host", "localhost")], None), Verdict::NoToken);
        assert_eq!(judge(&[("authorization", "Bearer correct-horse")], None), Verdict::Welcome);
        assert_eq!(judge(&[("authorization", "Bearer correct-hors")], None), Verdict::WrongToken);
        assert_eq!(judge(&[("cookie", "a=b; foldnet_token=correct-horse")], None), Verdict::Welcome);
        assert_eq!(judge(&[], Some("x=1&token=correct-horse")), Verdict::WelcomeByAddress);
        assert_eq!(judge(&[], Some("token=")), Verdict::NoToken);
        assert_eq!(judge(&[], Some("token=battery-staple")), Verdict::WrongToken);
        // A cookie of before does not stand in the way of a new token.
        let old = [("cookie", "foldnet_token=battery-staple")];
        assert_eq!(judge(&old, None), Verdict::WrongToken);
        assert_eq!(judge(&old, Some("token=correct-horse")), Verdict::WelcomeByAddress);
    }

    #[test]
    fn without_a_token_only_this_machine_is_named() {
        let access = Access::new("[::1]:80".parse().unwrap(), None).unwrap();
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "127.1.2.3"] {
            assert_eq!(access.judge(&headers(&[("host", host)]), None), Verdict::Welcome, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "10.0.0.1", ""] {
            assert_eq!(access.judge(&headers(&[("host", host)]), None), Verdict::WrongHost, "{host}");
        }
    }
}
